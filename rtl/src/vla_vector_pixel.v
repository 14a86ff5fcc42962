// One word of the vector engine: Block lanes, and the constants that travel with their pixel.
// Does: bring multiplier and shift from launch to the stages that use them.
// Does not: fetch operands or records, apply the table, stall.
// Latency: 10 cycles, one word per cycle; en_i as in vla_vector_lane.
`default_nettype none
module vla_vector_pixel #(
  parameter Block = 16  // channels of a word
) (
  input  wire                clk_i,
  input  wire [9:0]          en_i,
  // constant while a packet runs
  input  wire                pool_i,
  input  wire [3:0]          function_i,
  input  wire [7:0]          a_zero_i,
  input  wire [7:0]          b_zero_i,
  input  wire [23:0]         b_mult_i,
  input  wire [1:0]          rounding_i,
  input  wire [7:0]          zero_i,
  input  wire [7:0]          lo_i,
  input  wire [7:0]          hi_i,
  // launch
  input  wire [23:0]         mult_i,
  input  wire [5:0]          shift_i,
  input  wire [32*Block-1:0] acc_i,
  input  wire [8*Block-1:0]  a_i,
  input  wire [8*Block-1:0]  b_i,
  // after stage 9
  output wire [8*Block-1:0]  word_o
);

  wire [23:0] mult;
  wire [5:0]  shift;
  vla_delay #(.Width(24), .Cycles(3)) u_mult (.clk_i(clk_i), .data_i(mult_i), .data_o(mult));
  vla_delay #(.Width(6), .Cycles(6)) u_shift (.clk_i(clk_i), .data_i(shift_i), .data_o(shift));

  genvar i;
  generate
    for (i = 0; i < Block; i = i + 1) begin : g_lane
      vla_vector_lane u_lane (
        .clk_i(clk_i), .en_i(en_i), .pool_i(pool_i), .function_i(function_i),
        .a_zero_i(a_zero_i), .b_zero_i(b_zero_i), .b_mult_i(b_mult_i),
        .rounding_i(rounding_i), .zero_i(zero_i), .lo_i(lo_i), .hi_i(hi_i),
        .a_mult_i(mult), .shift_i(shift),
        .acc_i(acc_i[32*i +: 32]), .a_i(a_i[8*i +: 8]), .b_i(b_i[8*i +: 8]), .q_o(word_o[8*i +: 8])
      );
    end
  endgenerate

endmodule
`default_nettype wire
