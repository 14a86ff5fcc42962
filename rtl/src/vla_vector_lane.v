// One channel of the vector engine: round_shift(f(a, b), shift).
// Does: the eight functions of VEC on a and b; for POOL the same path multiplies an accumulator.
// Does not: choose multiplier and shift, add the zero point, clamp (`vla_vector_pixel` does), stall.
// Latency: 7 cycles. en_i[k] says that stage k holds a value; nothing moves without it.
// Same arithmetic as vla_isa.numerics.elementwise and average: every sum and product is exact. Rounding
// is p + addend + (bit `shift` of p, for nearest even), then a floor shift.
`include "vla_isa.vh"
`default_nettype none
module vla_vector_lane (
  input  wire        clk_i,
  input  wire [6:0]  en_i,
  // constant while a packet runs
  input  wire        pool_i,      // take acc_i instead of a and b
  input  wire [3:0]  function_i,
  input  wire [7:0]  a_zero_i,
  input  wire [7:0]  b_zero_i,
  input  wire [23:0] b_mult_i,
  // constants that travel with the pixel, each for the stage that uses it
  input  wire [23:0] a_mult_i,    // stage 2
  input  wire [62:0] addend_i,    // stage 5
  input  wire [63:0] even_bit_i,  // stage 5
  input  wire [5:0]  shift_i,     // stage 6
  // stage 0
  input  wire [31:0] acc_i,
  input  wire [7:0]  a_i,
  input  wire [7:0]  b_i,
  // after stage 6: saturated to ten bits
  output wire signed [9:0] rounded_o
);

  reg signed [31:0] x_q;            // A, or the accumulator
  reg signed [8:0]  y_q;            // B
  reg signed [31:0] u_q;            // first factor of a_mult
  reg signed [8:0]  v_q;            // first factor of b_mult
  reg signed [40:0] low_q, high_q;  // u * a_mult in two parts
  reg signed [33:0] b_part_q, b_product_q;
  reg signed [57:0] a_product_q;
  reg signed [57:0] p_q;
  reg signed [63:0] t_q;
  reg signed [9:0]  r_q;

  assign rounded_o = r_q;

  function [31:0] less_zero;
    input [7:0] value;
    input [7:0] zero;
    less_zero = {{24{value[7]}}, value} - {{24{zero[7]}}, zero};
  endfunction

  function [8:0] narrow;
    input signed [31:0] value_unused;  // fits in the lowest bits
    narrow = value_unused[8:0];
  endfunction

  // What a_mult multiplies. x_q has 9 bits here, 32 for POOL (whose function is add).
  function [31:0] first_factor;
    input        [3:0]  f;
    input signed [31:0] x;
    input signed [8:0]  y;
    reg signed [31:0] a;
    reg signed [31:0] b;
    reg        [8:0]  magnitude;
    reg        [3:0]  n;
    begin
      a         = {{23{x[8]}}, x[8:0]};
      b         = {{23{y[8]}}, y};
      magnitude = y[8] ? -y : y;
      n         = magnitude > 9'd15 ? 4'd15 : magnitude[3:0];
      case (f)
        `VLA_VEC_FUNCTION_MUL:    first_factor = a * b;
        `VLA_VEC_FUNCTION_ABS:    first_factor = a[31] ? -a : a;
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

  function [63:0] rounded;
    input signed [57:0] p;
    input        [62:0] addend;
    input        [63:0] even_bit;
    reg [63:0] wide;
    begin
      wide    = {{6{p[57]}}, p};
      rounded = wide + {1'b0, addend} + {63'd0, |(wide & even_bit)};
    end
  endfunction

  // Ten bits are enough: zero, lo and hi are int8, so whatever lies beyond clamps to the same value.
  function [9:0] shifted;
    input signed [63:0] t;
    input        [5:0]  shift;
    reg signed [63:0] r;
    begin
      r       = t >>> shift;
      shifted = r[63:9] == {55{r[63]}} ? r[9:0] : {r[63], {9{!r[63]}}};
    end
  endfunction

  always @(posedge clk_i) begin
    if (en_i[0]) begin
      x_q <= pool_i ? acc_i : less_zero(a_i, a_zero_i);
      y_q <= narrow(less_zero(b_i, b_zero_i));
    end
    if (en_i[1]) begin
      u_q <= first_factor(function_i, x_q, y_q);
      v_q <= y_q;
    end
    if (en_i[2]) begin
      low_q    <= $signed({25'd0, u_q[15:0]}) * $signed({17'd0, a_mult_i});
      high_q   <= $signed({{25{u_q[31]}}, u_q[31:16]}) * $signed({17'd0, a_mult_i});
      b_part_q <= $signed({{25{v_q[8]}}, v_q}) * $signed({10'd0, b_mult_i});
    end
    if (en_i[3]) begin
      a_product_q <= {high_q[40], high_q, 16'd0} + {{17{low_q[40]}}, low_q};
      b_product_q <= b_part_q;
    end
    if (en_i[4]) p_q <= combine(function_i, a_product_q, b_product_q);
    if (en_i[5]) t_q <= rounded(p_q, addend_i, even_bit_i);
    if (en_i[6]) r_q <= shifted(t_q, shift_i);
  end

endmodule
`default_nettype wire
