// One value: round_shift(p, shift), saturated.
// Does: shift right by 0..63 with the three roundings (a shift of 0 gives p), saturate to OutBits.
// Does not: multiply, add a zero point, stall.
// Latency: 5 cycles. en_i[k] says that stage k holds a value; nothing moves without it. The rounding must not change
// while values are inside; the shift comes with the value.
// Same arithmetic as vla_isa.numerics.round_shift. Nearest even adds half less one, and one more where the bit at the
// shift is set: then a tie rounds to even and nothing has to be taken back.
`include "vla_isa.vh"
`default_nettype none
module vla_round_shift #(
  parameter InBits  = 60,  // bits of p, at most 62
  parameter OutBits = 18
) (
  input  wire               clk_i,
  input  wire [4:0]         en_i,
  input  wire [1:0]         rounding_i,
  input  wire [InBits-1:0]  p_i,
  input  wire [5:0]         shift_i,
  output reg  [OutBits-1:0] q_o
);

  localparam Bits = 64;

  // 2^shift, and 0 for a shift of 0; half of it is what nearest adds.
  wire [Bits-1:0] one  = shift_i == 6'd0 ? {Bits{1'b0}} : {{(Bits - 1){1'b0}}, 1'b1} << shift_i;
  wire [Bits-1:0] p    = {{(Bits - InBits){p_i[InBits-1]}}, p_i};
  wire            even = rounding_i == `VLA_ROUND_NEAREST_EVEN;

  reg signed [Bits-1:0] p1_q, t2_q, coarse3_q, fine4_q;
  reg        [Bits-2:0] addend1_q;
  reg                   odd1_q;
  reg        [5:0]      shift1_q, shift2_q;
  reg        [2:0]      shift3_q;

  wire [Bits-2:0] half = one[Bits-1:1];
  wire            fits = fine4_q[Bits-1:OutBits-1] == {(Bits - OutBits + 1){fine4_q[Bits-1]}};

  always @(posedge clk_i) begin
    if (en_i[0]) begin
      p1_q      <= p;
      addend1_q <= rounding_i == `VLA_ROUND_FLOOR ? {(Bits - 1){1'b0}}
                 : even && shift_i != 6'd0 ? half - 1'b1 : half;
      odd1_q    <= even && |(p & one);
      shift1_q  <= shift_i;
    end
    if (en_i[1]) begin
      t2_q     <= p1_q + $signed({1'b0, addend1_q}) + $signed({{(Bits - 1){1'b0}}, odd1_q});
      shift2_q <= shift1_q;
    end
    if (en_i[2]) begin
      coarse3_q <= t2_q >>> {shift2_q[5:3], 3'b000};
      shift3_q  <= shift2_q[2:0];
    end
    if (en_i[3]) fine4_q <= coarse3_q >>> shift3_q;
    if (en_i[4]) q_o <= fits ? fine4_q[OutBits-1:0] : {fine4_q[Bits-1], {(OutBits - 1){!fine4_q[Bits-1]}}};
  end

  generate
    if (InBits > 62 || OutBits > InBits) begin : g_check
      vla_bad_parameter_round_shift_bits u_bad ();
    end
  endgenerate

endmodule
`default_nettype wire
