// One value: clamp(round_shift(p, shift) + zero, lo, hi), the tail of every requantization.
// Does: shift right by 0..63 with the three roundings (a shift of 0 gives p), add the zero point, clamp to
// lo first and then to hi.
// Does not: stall.
// Latency: 3 cycles. en_i[k] says that stage k holds a value; nothing moves without it. The constants must
// not change while values are inside.
// Same arithmetic as vla_isa.numerics.round_shift and clamp. Nearest even is half up, less one where a tie
// landed on an odd number; a tie leaves no bit below the shift after the half is added.
`include "vla_isa.vh"
`default_nettype none
module vla_requantize_round (
  input  wire               clk_i,
  input  wire        [2:0]  en_i,
  input  wire        [1:0]  rounding_i,
  input  wire signed [7:0]  zero_i,
  input  wire signed [7:0]  lo_i,
  input  wire signed [7:0]  hi_i,
  input  wire signed [63:0] p_i,      // at most 58 bits are used
  input  wire        [5:0]  shift_i,
  output reg         [7:0]  q_o
);

  reg signed [63:0] sum_q;
  reg        [5:0]  shift_q;
  reg signed [9:0]  r_q;    // saturated: beyond +-512 every zero point, lo and hi give the same result
  reg               tie_q;

  // 2^(shift - 1), and 0 for a shift of 0
  wire [63:0] half = rounding_i == `VLA_ROUND_FLOOR ? 64'd0 : (64'd1 << shift_i) >> 1;

  wire signed [63:0] shifted = sum_q >>> shift_q;
  wire        [63:0] below   = sum_q & ~(64'hFFFF_FFFF_FFFF_FFFF << shift_q);
  wire               fits    = shifted[63:9] == {55{shifted[63]}};

  wire signed [9:0]  even     = {r_q[9:1], r_q[0] && !tie_q};
  wire signed [10:0] moved    = {even[9], even} + {{3{zero_i[7]}}, zero_i};
  wire signed [10:0] lo       = {{3{lo_i[7]}}, lo_i};
  wire signed [10:0] hi       = {{3{hi_i[7]}}, hi_i};
  wire signed [10:0] at_least = moved < lo ? lo : moved;

  always @(posedge clk_i) begin
    if (en_i[0]) begin
      sum_q   <= p_i + half;
      shift_q <= shift_i;
    end
    if (en_i[1]) begin
      r_q   <= fits ? shifted[9:0] : {shifted[63], {9{!shifted[63]}}};
      tie_q <= rounding_i == `VLA_ROUND_NEAREST_EVEN && shift_q != 6'd0 && below == 64'd0;
    end
    if (en_i[2]) q_o <= at_least > hi ? hi_i : at_least[7:0];
  end

endmodule
`default_nettype wire
