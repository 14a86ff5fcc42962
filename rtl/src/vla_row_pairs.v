// The walk of ROW, REDUCE and RECIP: pixel pairs outside, channel blocks inside, all blocks of a pair several times over
// where the packet takes several passes.
// Does: count rows, pairs of pixels of one row (the last of an odd row is alone) and blocks; one step is one block of
// one pair.
// Does not: make addresses (`vla_row_address` follows its marks).
// Latency: the first step is there 2 cycles after start_i, every other one in the cycle after its predecessor's next_i.
`default_nettype none
module vla_row_pairs (
  input  wire        clk_i,
  input  wire        rst_i,
  input  wire        start_i,
  // constants
  input  wire [10:0] h_i,
  input  wire [15:0] m_i,
  input  wire [9:0]  blocks_i,
  input  wire [3:0]  passes_i,       // over the blocks of a pair
  // steps
  input  wire        next_i,         // to the next step
  output reg         valid_o,
  output reg         both_o,         // the pair has two pixels
  output reg         block_first_o,
  output reg         block_last_o,
  output reg         pass_last_o,    // of the pair
  output reg         pair_last_o,    // of the packet
  output wire        load_o,         // a pair begins after this cycle
  output wire        row_end_o,      // with load_o: that pair ends its row
  output wire        again_o         // a pass over the same pair begins after this cycle
);

  // Of the pair that begins next: pixels left in its row, rows left.
  reg        first_q;
  reg [15:0] left_q;
  reg [10:0] rows_q;
  reg [9:0]  blocks_q;  // left in the running pair, this one included

  reg  [3:0] passes_q;  // left, this one included

  wire pass_end = valid_o && next_i && block_last_o;
  wire pair_end = pass_end && pass_last_o;

  assign load_o    = first_q || (pair_end && !pair_last_o);
  assign row_end_o = left_q <= 16'd2;
  assign again_o   = pass_end && !pass_last_o;

  always @(posedge clk_i) begin
    if (rst_i) begin
      first_q <= 1'b0;
      valid_o <= 1'b0;
    end else begin
      first_q <= start_i;
      if (load_o) valid_o <= 1'b1;
      else if (pair_end) valid_o <= 1'b0;
    end
  end

  always @(posedge clk_i) begin
    if (start_i) begin
      left_q <= m_i;
      rows_q <= h_i;
    end else if (load_o) begin
      both_o      <= left_q != 16'd1;
      pair_last_o <= row_end_o && rows_q == 11'd1;
      left_q      <= row_end_o ? m_i : left_q - 16'd2;
      if (row_end_o) rows_q <= rows_q - 11'd1;
    end
    if (load_o || again_o) begin
      passes_q      <= load_o ? passes_i : passes_q - 4'd1;
      pass_last_o   <= load_o ? passes_i == 4'd1 : passes_q == 4'd2;
      blocks_q      <= blocks_i;
      block_first_o <= 1'b1;
      block_last_o  <= blocks_i == 10'd1;
    end else if (valid_o && next_i) begin
      blocks_q      <= blocks_q - 10'd1;
      block_first_o <= 1'b0;
      block_last_o  <= blocks_q == 10'd2;
    end
  end

endmodule
`default_nettype wire
