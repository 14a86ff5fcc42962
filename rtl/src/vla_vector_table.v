// The last stage before writing: the 256-byte table of a VEC packet (result q becomes byte q + 128), and
// the channels that only pad POOL's last block.
// Does: load the table from the parameter memory at the start of a packet that has one; look up every
// byte of two words per cycle, or pass them on unchanged; write `fill` where a lane is not live.
// Does not: keep a table for the next packet (the parameter memory may have changed), stall.
// Latency: look-up 1 cycle; loading about 40 cycles (256 bytes, 8 per cycle), ready_o says when done.
`default_nettype none
module vla_vector_table #(
  parameter Block     = 16,  // bytes of a word
  parameter ParamAw   = 11,  // address bits of the parameter memory
  parameter ParamBits = 1024
) (
  input  wire                 clk_i,
  input  wire                 rst_i,
  input  wire                 start_i,
  // constant while a packet runs
  input  wire                 enable_i,
  input  wire [ParamAw-1:0]   base_i,
  output wire                 ready_o,
  // parameter memory
  output wire                 param_rd_valid_o,
  output wire [ParamAw-1:0]   param_rd_addr_o,
  input  wire                 param_rd_grant_i,
  input  wire [ParamBits-1:0] param_rd_data_i,
  // look-up
  input  wire                 en_i,
  input  wire [2*Block-1:0]   live_i,
  input  wire [7:0]           fill_i,
  input  wire [16*Block-1:0]  words_i,
  output reg  [16*Block-1:0]  words_o
);

  localparam RowBits = $clog2(Block);  // a parameter word is Block rows of 8 bytes

  (* ram_style = "distributed" *)
  reg [63:0]          table_q [0:31];
  reg                 load_q;    // loading
  reg                 want_q;    // the next word is to be requested
  reg                 arrive_q;  // the granted word is on param_rd_data_i
  reg                 rows_q;    // its rows are being written
  reg [4:0]           row_q;
  reg [ParamAw-1:0]   addr_q;
  reg [ParamBits-1:0] word_q;

  assign ready_o          = !load_q;
  assign param_rd_valid_o = want_q;
  assign param_rd_addr_o  = addr_q;

  wire granted  = want_q && param_rd_grant_i;
  wire word_end = rows_q && (&row_q[RowBits-1:0]);
  wire load_end = rows_q && (&row_q);

  always @(posedge clk_i) begin
    if (rst_i) begin
      load_q   <= 1'b0;
      want_q   <= 1'b0;
      arrive_q <= 1'b0;
      rows_q  <= 1'b0;
    end else begin
      if (start_i && enable_i) load_q <= 1'b1;
      else if (load_end) load_q <= 1'b0;
      if (granted) want_q <= 1'b0;
      else if ((start_i && enable_i) || (word_end && !load_end)) want_q <= 1'b1;
      arrive_q <= granted;
      if (arrive_q) rows_q <= 1'b1;
      else if (word_end) rows_q <= 1'b0;
    end
  end

  always @(posedge clk_i) begin
    if (start_i) begin
      addr_q <= base_i;
      row_q  <= 5'd0;
    end else begin
      if (granted) addr_q <= addr_q + 1'b1;
      if (rows_q) row_q <= row_q + 5'd1;
    end
    if (arrive_q) word_q <= param_rd_data_i;
    if (rows_q) table_q[row_q] <= word_q[{row_q[RowBits-1:0], 6'd0} +: 64];
  end

  function [7:0] byte_of;
    input [63:0] row;
    input [2:0]  number;
    reg [63:0] moved_unused;  // but for the byte, now lowest
    begin
      moved_unused = row >> {number, 3'd0};
      byte_of      = moved_unused[7:0];
    end
  endfunction

  genvar i;
  generate
    for (i = 0; i < 2 * Block; i = i + 1) begin : g_byte
      always @(posedge clk_i) begin
        if (en_i)
          words_o[8*i +: 8] <= !live_i[i] ? fill_i
                             : enable_i ? byte_of(table_q[{~words_i[8*i + 7], words_i[8*i + 3 +: 4]}],
                                                  words_i[8*i +: 3])
                             : words_i[8*i +: 8];
      end
    end
  endgenerate

endmodule
`default_nettype wire
