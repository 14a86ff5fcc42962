// One channel of the vector engine: clamp(round_shift(f(a, b), shift) + zero, lo, hi).
// Does: the eight functions of VEC on a and b; for POOL the same path multiplies an accumulator.
// Does not: choose multiplier and shift, stall.
// Latency: 10 cycles. en_i[k] says that stage k holds a value; nothing moves without it.
// Same arithmetic as vla_isa.numerics.elementwise and average: every sum and product is exact.
`include "vla_isa.vh"
`default_nettype none
module vla_vector_lane (
  input  wire        clk_i,
  input  wire [9:0]  en_i,
  // constant while a packet runs
  input  wire        pool_i,      // take acc_i instead of a and b
  input  wire [3:0]  function_i,
  input  wire [7:0]  a_zero_i,
  input  wire [7:0]  b_zero_i,
  input  wire [23:0] b_mult_i,
  input  wire [1:0]  rounding_i,
  input  wire [7:0]  zero_i,
  input  wire [7:0]  lo_i,
  input  wire [7:0]  hi_i,
  // constants that travel with the pixel, each for the stage that uses it
  input  wire [23:0] a_mult_i,    // stage 3
  input  wire [5:0]  shift_i,     // stage 6
  // stage 0
  input  wire [31:0] acc_i,
  input  wire [7:0]  a_i,
  input  wire [7:0]  b_i,
  // after stage 9
  output wire [7:0]  q_o
);

  reg signed [31:0] x_q;            // A, or the accumulator
  reg signed [8:0]  y_q;            // B
  // What each function makes of them; x_q has 9 bits here, 32 for POOL (whose function is add).
  reg signed [31:0] x_late_q;
  reg signed [8:0]  y_late_q;
  reg signed [17:0] product_q;
  reg        [8:0]  magnitude_q;    // of x
  reg        [3:0]  places_q;       // |y|, at most 15
  reg signed [31:0] u_q;            // first factor of a_mult
  reg signed [8:0]  v_q;            // first factor of b_mult
  reg signed [33:0] b_part_q, b_product_q;
  wire signed [57:0] a_product;
  reg signed [57:0] p_q;

  function [31:0] less_zero;
    input [7:0] value;
    input [7:0] zero;
    less_zero = {{24{value[7]}}, value} - {{24{zero[7]}}, zero};
  endfunction

  function [8:0] narrow;
    input signed [31:0] value_unused;  // fits in the lowest bits
    narrow = value_unused[8:0];
  endfunction

  // The magnitude of y, at most 15.
  function [3:0] places;
    input signed [8:0] y;
    reg [8:0] magnitude;
    begin
      magnitude = y[8] ? -y : y;
      places    = magnitude > 9'd15 ? 4'd15 : magnitude[3:0];
    end
  endfunction

  // What a_mult multiplies.
  function [31:0] first_factor;
    input        [3:0]  f;
    input signed [31:0] x;
    input signed [8:0]  y;
    input signed [17:0] product;
    input        [8:0]  magnitude;
    input        [3:0]  n;
    reg signed [31:0] a;
    begin
      a = {{23{x[8]}}, x[8:0]};
      case (f)
        `VLA_VEC_FUNCTION_MUL:    first_factor = {{14{product[17]}}, product};
        `VLA_VEC_FUNCTION_ABS:    first_factor = {23'd0, magnitude};
        `VLA_VEC_FUNCTION_SHIFT:  first_factor = y[8] ? a >>> n : a <<< n;
        `VLA_VEC_FUNCTION_SELECT: first_factor = !y[8] && y != 9'sd0 ? a : 32'sd0;
        default:                  first_factor = x;
      endcase
    end
  endfunction

  function [57:0] combine;
    input        [3:0]  f;
    input signed [57:0] a;
    input signed [33:0] b_narrow;
    reg signed [57:0] b;
    begin
      b = {{24{b_narrow[33]}}, b_narrow};
      case (f)
        `VLA_VEC_FUNCTION_ADD: combine = a + b;
        `VLA_VEC_FUNCTION_SUB: combine = a - b;
        `VLA_VEC_FUNCTION_MAX: combine = a > b ? a : b;
        `VLA_VEC_FUNCTION_MIN: combine = a < b ? a : b;
        default:               combine = a;
      endcase
    end
  endfunction

  vla_scale u_scale (
    .clk_i(clk_i), .en_i(en_i[4:3]), .x_i({u_q[31], u_q}), .mult_i(a_mult_i), .p_o(a_product)
  );

  vla_requantize_round u_round (
    .clk_i(clk_i), .en_i(en_i[9:6]),
    .rounding_i(rounding_i), .zero_i(zero_i), .lo_i(lo_i), .hi_i(hi_i),
    .p_i(p_q), .shift_i(shift_i), .q_o(q_o)
  );

  always @(posedge clk_i) begin
    if (en_i[0]) begin
      x_q <= pool_i ? acc_i : less_zero(a_i, a_zero_i);
      y_q <= narrow(less_zero(b_i, b_zero_i));
    end
    if (en_i[1]) begin
      x_late_q    <= x_q;
      y_late_q    <= y_q;
      product_q   <= $signed(x_q[8:0]) * y_q;
      magnitude_q <= x_q[8] ? -x_q[8:0] : x_q[8:0];
      places_q    <= places(y_q);
    end
    if (en_i[2]) begin
      u_q <= first_factor(function_i, x_late_q, y_late_q, product_q, magnitude_q, places_q);
      v_q <= y_late_q;
    end
    if (en_i[3]) b_part_q <= $signed({{25{v_q[8]}}, v_q}) * $signed({10'd0, b_mult_i});
    if (en_i[4]) b_product_q <= b_part_q;
    if (en_i[5]) p_q <= combine(function_i, a_product, b_product_q);
  end

endmodule
`default_nettype wire
