// One word of the vector engine: Block lanes, and the constants that travel with their pixel.
// Does: bring multiplier and shift from launch to the stages that use them, and decode the rounding there;
// clamp(rounded + zero, lo, hi).
// Does not: fetch operands or records, apply the table, stall.
// Latency: 8 cycles, one word per cycle; en_i as in vla_vector_lane.
`include "vla_isa.vh"
`default_nettype none
module vla_vector_pixel #(
  parameter Block = 16  // channels of a word
) (
  input  wire                clk_i,
  input  wire [7:0]          en_i,
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
  // after stage 7
  output reg  [8*Block-1:0]  word_o
);

  reg [23:0] mult0_q, mult1_q;
  reg [5:0]  shift0_q, shift1_q, shift2_q, shift3_q, shift4_q, shift5_q;
  reg [62:0] addend_q;
  reg [63:0] even_bit_q;

  // 2^(shift - 1) and 2^shift; both 0 when nothing is shifted, so that nothing is added.
  function [63:0] power;
    input [5:0] shift;
    power = shift == 6'd0 ? 64'd0 : 64'd1 << shift;
  endfunction

  wire [63:0] one = power(shift3_q);

  always @(posedge clk_i) begin
    if (en_i[0]) begin
      mult0_q  <= mult_i;
      shift0_q <= shift_i;
    end
    if (en_i[1]) begin
      mult1_q  <= mult0_q;
      shift1_q <= shift0_q;
    end
    if (en_i[2]) shift2_q <= shift1_q;
    if (en_i[3]) shift3_q <= shift2_q;
    if (en_i[4]) begin
      shift4_q   <= shift3_q;
      even_bit_q <= rounding_i == `VLA_ROUND_NEAREST_EVEN ? one : 64'd0;
      addend_q   <= rounding_i == `VLA_ROUND_FLOOR ? 63'd0
                  : rounding_i == `VLA_ROUND_HALF_UP || shift3_q == 6'd0 ? one[63:1]
                  : one[63:1] - 63'd1;
    end
    if (en_i[5]) shift5_q <= shift4_q;
  end

  function [7:0] clamped;
    input signed [9:0] r;
    input        [7:0] zero;
    input        [7:0] lo;
    input        [7:0] hi;
    reg signed [10:0] sum;
    reg signed [10:0] low;
    reg signed [10:0] high;
    begin
      low     = {{3{lo[7]}}, lo};
      high    = {{3{hi[7]}}, hi};
      sum     = {r[9], r} + {{3{zero[7]}}, zero};
      sum     = sum < low ? low : sum;
      clamped = sum > high ? hi : sum[7:0];
    end
  endfunction

  genvar i;
  generate
    for (i = 0; i < Block; i = i + 1) begin : g_lane
      wire signed [9:0] rounded;
      vla_vector_lane u_lane (
        .clk_i(clk_i), .en_i(en_i[6:0]), .pool_i(pool_i), .function_i(function_i),
        .a_zero_i(a_zero_i), .b_zero_i(b_zero_i), .b_mult_i(b_mult_i),
        .a_mult_i(mult1_q), .addend_i(addend_q), .even_bit_i(even_bit_q), .shift_i(shift5_q),
        .acc_i(acc_i[32*i +: 32]), .a_i(a_i[8*i +: 8]), .b_i(b_i[8*i +: 8]),
        .rounded_o(rounded)
      );
      always @(posedge clk_i) begin
        if (en_i[7]) word_o[8*i +: 8] <= clamped(rounded, zero_i, lo_i, hi_i);
      end
    end
  endgenerate

endmodule
`default_nettype wire
