// A number times an unsigned 24-bit multiplier, exact.
// Does: two products of at most 18 x 25 bits, as a DSP block multiplies, then their sum.
// Does not: stall, or round.
// Latency: 2 cycles, the first with en_i[0], the second with en_i[1]. Operands come from registers.
`default_nettype none
module vla_scale #(
  parameter Bits = 33  // of the number, 19 to 35
) (
  input  wire                      clk_i,
  input  wire               [1:0]  en_i,
  input  wire signed    [Bits-1:0] x_i,
  input  wire               [23:0] mult_i,
  output reg  signed   [Bits+24:0] p_o
);

  wire signed      [17:0] low  = {1'b0, x_i[16:0]};
  wire signed [Bits-18:0] high = x_i[Bits-1:17];
  wire signed      [24:0] mult = {1'b0, mult_i};

  reg signed     [42:0] low_q;
  reg signed [Bits+7:0] high_q;

  always @(posedge clk_i) begin
    if (en_i[0]) begin
      low_q  <= low * mult;
      high_q <= high * mult;
    end
    if (en_i[1]) p_o <= {high_q, 17'd0} + {{(Bits-18){low_q[42]}}, low_q};
  end

  generate
    if (Bits < 19 || Bits > 35) begin : g_check
      vla_bad_parameter_scale_bits_19_to_35 u_bad ();
    end
  endgenerate

endmodule
`default_nettype wire
