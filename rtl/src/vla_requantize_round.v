// One value: clamp(round_shift(p, shift) + zero, lo, hi), the tail of every requantization.
// Does: shift right by 0..63 with the three roundings (a shift of 0 gives p), add the zero point, clamp to
// lo first and then to hi.
// Does not: stall.
// Latency: 4 cycles. en_i[k] says that stage k holds a value; nothing moves without it. The constants must
// not change while values are inside.
// Same arithmetic as vla_isa.numerics.round_shift and clamp. The floor of p / 2^shift is one too low by the first bit
// below it (half up), or by that bit where it is no tie or the floor is odd (nearest even).
`include "vla_isa.vh"
`default_nettype none
module vla_requantize_round #(
  parameter Bits   = 8,  // of the result: 8, 16 or 18
  parameter InBits = 58  // of p, at most 61
) (
  input  wire                   clk_i,
  input  wire            [3:0]  en_i,
  input  wire            [1:0]  rounding_i,
  input  wire signed [Bits-1:0] zero_i,
  input  wire signed [Bits-1:0] lo_i,
  input  wire signed [Bits-1:0] hi_i,
  input  wire signed [InBits-1:0] p_i,
  input  wire            [5:0]  shift_i,
  output reg         [Bits-1:0] q_o
);

  // Wide enough that what does not fit clamps to the same value, whatever zero, lo and hi are.
  localparam Wide   = Bits + 2;                   // of the floor
  localparam Window = (Wide + 1 + 7 + 7) / 8 * 8;  // it, the bit below, and what a shift by 0..7 brings down

  // ---- shift by whole bytes; bit 0 is the first one below the floor ----
  wire signed [63:0] x      = {{(63-InBits){p_i[InBits-1]}}, p_i, 1'b0};
  wire        [5:0]  bytes  = {shift_i[5:3], 3'd0};
  wire signed [63:0] moved  = x >>> bytes;
  wire        [63:0] kept   = 64'hFFFF_FFFF_FFFF_FFFF << bytes;
  wire        [63:0] differ = x ^ {64{x[63]}};
  reg  [Window-1:0]  window_q;
  reg                sign_q;
  reg                below_q;  // a bit further below is set
  reg                above_q;  // a bit above the window is not the sign
  reg  [2:0]         fine_q;

  // ---- shift by bits ----
  wire [Window-1:0] fine  = window_q >> fine_q;
  wire [Window-1:0] lost  = window_q & ~({Window{1'b1}} << fine_q);
  wire [Window-1:0] over  = (window_q ^ {Window{sign_q}}) & ({Window{1'b1}} << fine_q << Wide);  // and above the floor
  reg  [Wide-1:0]   floor_q;
  reg               half_q;    // the bit below the floor
  reg               rest_q;    // something below that
  reg               beyond_q;  // it does not fit
  reg               beyond_sign_q;
  wire              unused_fine = ^fine[Window-1:Wide+1];

  // ---- round, add the zero point ----
  wire            up   = rounding_i == `VLA_ROUND_HALF_UP ? half_q
                         : rounding_i == `VLA_ROUND_NEAREST_EVEN ? half_q && (rest_q || floor_q[0]) : 1'b0;
  wire [Wide+1:0] sum  = {{2{floor_q[Wide-1]}}, floor_q} + {{4{zero_i[Bits-1]}}, zero_i} + {{(Wide+1){1'b0}}, up};
  wire [Wide+1:0] end_of_range = {beyond_sign_q, {(Wide+1){!beyond_sign_q}}};
  reg signed [Wide+1:0] moved_q;

  // ---- clamp ----
  wire signed [Wide+1:0] lo = {{4{lo_i[Bits-1]}}, lo_i};
  wire signed [Wide+1:0] hi = {{4{hi_i[Bits-1]}}, hi_i};

  always @(posedge clk_i) begin
    if (en_i[0]) begin
      window_q <= moved[Window-1:0];
      sign_q   <= x[63];
      below_q  <= (x & ~kept) != 64'd0;
      above_q  <= (differ & (kept << Window)) != 64'd0;
      fine_q   <= shift_i[2:0];
    end
    if (en_i[1]) begin
      {floor_q, half_q} <= fine[Wide:0];
      rest_q            <= below_q || lost != {Window{1'b0}};
      beyond_q          <= above_q || over != {Window{1'b0}};
      beyond_sign_q     <= sign_q;
    end
    if (en_i[2]) moved_q <= beyond_q ? end_of_range : sum;
    if (en_i[3]) begin
      if (moved_q < lo)      q_o <= lo_i > hi_i ? hi_i : lo_i;
      else if (moved_q > hi) q_o <= hi_i;
      else                   q_o <= moved_q[Bits-1:0];
    end
  end

  wire unused_moved = ^moved[63:Window];

  generate
    if ((Bits != 8 && Bits != 16 && Bits != 18) || InBits > 61) begin : g_check
      vla_bad_parameter_round_bits_8_16_or_18_of_61 u_bad ();
    end
  endgenerate

endmodule
`default_nettype wire
