// Where the words of one matrix operand lie, step by step: two addresses, of both byte planes of a block.
// Does: follow the marks of `vla_row_pairs`. The pair's other pixel is one word further.
// Does not: know which of the addresses is read.
// Latency: addresses change with the step.
`default_nettype none
module vla_row_address #(
  parameter Aw = 17  // address bits of the activation scratchpad
) (
  input  wire          clk_i,
  input  wire          start_i,
  // constants
  input  wire [Aw-1:0] base_i,
  input  wire [Aw-1:0] high_i,        // base + pitch
  input  wire          still_i,       // one pixel for all: neither x nor y moves
  input  wire [Aw-1:0] row_stride_i,
  input  wire [Aw-1:0] block_step_i,  // pitch times byte planes
  // marks
  input  wire          load_i,
  input  wire          row_end_i,
  input  wire          next_i,
  input  wire          again_i,
  // of the step's first pixel
  output reg  [Aw-1:0] low_o,
  output reg  [Aw-1:0] high_o
);

  reg [Aw-1:0] next_low_q, next_high_q;  // the pair that begins next
  reg [Aw-1:0] row_low_q, row_high_q;    // the row it is in
  reg [Aw-1:0] pair_low_q, pair_high_q;  // the running pair

  wire [Aw-1:0] pair     = still_i ? {Aw{1'b0}} : {{(Aw - 2){1'b0}}, 2'd2};
  wire [Aw-1:0] row      = still_i ? {Aw{1'b0}} : row_stride_i;
  wire [Aw-1:0] new_low  = row_low_q + row;
  wire [Aw-1:0] new_high = row_high_q + row;

  always @(posedge clk_i) begin
    if (start_i) begin
      next_low_q  <= base_i;
      next_high_q <= high_i;
      row_low_q   <= base_i;
      row_high_q  <= high_i;
    end else if (load_i) begin
      next_low_q  <= row_end_i ? new_low : next_low_q + pair;
      next_high_q <= row_end_i ? new_high : next_high_q + pair;
      if (row_end_i) begin
        row_low_q  <= new_low;
        row_high_q <= new_high;
      end
    end
    if (load_i) begin
      low_o       <= next_low_q;
      high_o      <= next_high_q;
      pair_low_q  <= next_low_q;
      pair_high_q <= next_high_q;
    end else if (again_i) begin
      low_o  <= pair_low_q;
      high_o <= pair_high_q;
    end else if (next_i) begin
      low_o  <= low_o + block_step_i;
      high_o <= high_o + block_step_i;
    end
  end

endmodule
`default_nettype wire
