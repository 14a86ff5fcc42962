// Add a residual: clamp(round_shift((a - a_zero) * a_mult + (b - b_zero) * b_mult, shift) + out_zero, lo, hi).
// Does: Lanes values per cycle with one record for all; the sum of products is exact.
// Does not: fetch the residual, or stall.
// Latency: valid_i -> valid_o 7 cycles. Record and rounding must not change while values are inside.
// Same arithmetic as vla_isa.numerics.residual_add; the record is numerics.ResidualRecord.
`default_nettype none
module vla_mac_residual #(
  parameter Lanes = 32
) (
  input  wire               clk_i,
  input  wire               rst_i,
  input  wire [1:0]         rounding_i,
  input  wire [95:0]        record_i,
  input  wire               valid_i,
  input  wire [8*Lanes-1:0] a_i,       // the convolution's own result
  input  wire [8*Lanes-1:0] b_i,       // the residual tensor
  output wire               valid_o,
  output wire [8*Lanes-1:0] q_o
);

  // a_mult:u24 | shift:u8 (6 used) | b_mult:u24 | a_zero:i8 | b_zero:i8 | out_zero:i8 | lo:i8 | hi:i8
  wire signed [24:0] a_mult = {1'b0, record_i[23:0]};
  wire        [5:0]  shift  = record_i[29:24];
  wire signed [24:0] b_mult = {1'b0, record_i[55:32]};
  wire signed [7:0]  a_zero = record_i[63:56];
  wire signed [7:0]  b_zero = record_i[71:64];
  wire               unused_record = ^record_i[31:30];

  reg [7:1] valid_q;  // index k: registers of stage k hold a value
  always @(posedge clk_i) begin
    if (rst_i) valid_q <= 7'd0;
    else valid_q <= {valid_q[6:1], valid_i};
  end
  assign valid_o = valid_q[7];

  genvar l;
  generate
    for (l = 0; l < Lanes; l = l + 1) begin : g_lane
      wire signed [7:0] a_byte = a_i[8*l +: 8];
      wire signed [7:0] b_byte = b_i[8*l +: 8];

      reg signed [8:0]  a_q;
      reg signed [8:0]  b_q;
      reg signed [33:0] a_product_q;
      reg signed [33:0] b_product_q;
      reg signed [34:0] p_q;

      always @(posedge clk_i) begin
        if (valid_i) begin
          a_q <= {a_byte[7], a_byte} - {a_zero[7], a_zero};
          b_q <= {b_byte[7], b_byte} - {b_zero[7], b_zero};
        end
        if (valid_q[1]) begin
          a_product_q <= a_q * a_mult;
          b_product_q <= b_q * b_mult;
        end
        if (valid_q[2]) p_q <= {a_product_q[33], a_product_q} + {b_product_q[33], b_product_q};
      end

      vla_requantize_round u_round (
        .clk_i(clk_i), .en_i(valid_q[6:3]),
        .rounding_i(rounding_i), .zero_i(record_i[79:72]), .lo_i(record_i[87:80]), .hi_i(record_i[95:88]),
        .p_i({{23{p_q[34]}}, p_q}), .shift_i(shift), .q_o(q_o[8*l +: 8])
      );
    end
  endgenerate

endmodule
`default_nettype wire
