// Requantize accumulators: clamp(round_shift((acc + bias) * mult, shift) + zero, lo, hi).
// Does: Lanes values per cycle, each with its own record (bias, mult, shift as in parameter memory); the sum
// has 33 bits, the product 57, nothing wraps.
// Does not: know channels or pixels, stall, or apply a table.
// Latency: valid_i -> valid_o 7 cycles, one set of lanes per cycle. The constants must not change while
// values are inside.
// Same arithmetic as vla_isa.numerics.requantize; compared in tests/rtl/vla_requantize.
`default_nettype none
module vla_requantize #(
  parameter Lanes = 32, // values per cycle
  parameter Bits  = 8   // of a result: 8, 16 or 18
) (
  input  wire                clk_i,
  input  wire                rst_i,
  input  wire [1:0]          rounding_i,
  input  wire [Bits-1:0]     zero_i,
  input  wire [Bits-1:0]     lo_i,
  input  wire [Bits-1:0]     hi_i,
  input  wire                valid_i,
  input  wire                silent_i,   // the bias counts as 0
  input  wire [32*Lanes-1:0] acc_i,
  input  wire [64*Lanes-1:0] record_i,   // bias:i32 | mult:u24 | shift:u6 | 2 ignored
  output wire                valid_o,
  output wire [Bits*Lanes-1:0] q_o
);

  reg [7:1] valid_q;  // index k: registers of stage k hold a value
  always @(posedge clk_i) begin
    if (rst_i) valid_q <= 7'd0;
    else valid_q <= {valid_q[6:1], valid_i};
  end
  assign valid_o = valid_q[7];

  wire [Lanes-1:0] unused_reserved;

  genvar l;
  generate
    for (l = 0; l < Lanes; l = l + 1) begin : g_lane
      wire [31:0] acc  = acc_i[32*l +: 32];
      wire [31:0] bias = silent_i ? 32'd0 : record_i[64*l +: 32];
      assign unused_reserved[l] = ^record_i[64*l + 62 +: 2];

      reg  signed [32:0] t_q;
      reg         [23:0] mult_q;
      wire signed [57:0] p;
      wire        [5:0]  shift;

      always @(posedge clk_i) begin
        if (valid_i) begin
          t_q    <= {acc[31], acc} + {bias[31], bias};
          mult_q <= record_i[64*l + 32 +: 24];
        end
      end

      vla_delay #(.Width(6), .Cycles(3)) u_shift (
        .clk_i(clk_i), .data_i(record_i[64*l + 56 +: 6]), .data_o(shift)
      );

      vla_scale u_scale (
        .clk_i(clk_i), .en_i(valid_q[2:1]), .x_i(t_q), .mult_i(mult_q), .p_o(p)
      );

      vla_requantize_round #(.Bits(Bits)) u_round (
        .clk_i(clk_i), .en_i(valid_q[6:3]),
        .rounding_i(rounding_i), .zero_i(zero_i), .lo_i(lo_i), .hi_i(hi_i),
        .p_i(p), .shift_i(shift), .q_o(q_o[Bits*l +: Bits])
      );
    end
  endgenerate

endmodule
`default_nettype wire
