// Two pixels times one output channel: dot products of Block int8 pairs, and their accumulators.
// Does: multiply both pixels by a shared weight in one product, a1 * 2^18 + a0 times w, as a DSP block with
// a 27 x 18 multiplier does; add four such products before the two halves are taken apart (18 bits hold
// four products of int8), add those sums, accumulate modulo 2^32.
// Does not: stall, or know what the numbers mean.
// Latency: operands -> sum_q (1 cycle) -> sum_late_q (2) -> accumulator (3). The second register is there for
// the synthesizer to move into the adder tree. multiply_i, move_i and accumulate_i say which of the three
// registers takes a value at this clock edge.
`default_nettype none
module vla_mac_cell #(
  parameter Block = 16  // int8 pairs of a dot product, a multiple of 4
) (
  input  wire               clk_i,
  input  wire               multiply_i,
  input  wire               move_i,
  input  wire               accumulate_i,
  input  wire               first_i,     // with accumulate_i: start from zero
  input  wire               zero_i,      // with accumulate_i: add nothing
  input  wire [8*Block-1:0] a0_i,        // activations of the even pixel
  input  wire [8*Block-1:0] a1_i,        // activations of the odd pixel
  input  wire [8*Block-1:0] w_i,         // weights of the output channel
  output reg  [63:0]        acc_o        // {odd, even} pixel
);

  reg  signed [37:0] group;
  reg  signed [26:0] pair;
  reg  signed [7:0]  w;
  reg         [31:0] even;
  reg         [31:0] odd;
  integer g, k;
  always @* begin
    even = 32'd0;
    odd  = 32'd0;
    for (g = 0; g < Block; g = g + 4) begin
      group = 38'sd0;
      for (k = g; k < g + 4; k = k + 1) begin
        pair  = {a1_i[8*k + 7], a1_i[8*k +: 8], 18'd0} + {{19{a0_i[8*k + 7]}}, a0_i[8*k +: 8]};
        w     = w_i[8*k +: 8];
        group = group + pair * w;
      end
      even = even + {{14{group[17]}}, group[17:0]};
      odd  = odd + {{12{group[37]}}, group[37:18]} + {31'd0, group[17]};
    end
  end

  reg [39:0] sum_q;  // 16 products of int8 fit in 20 bits
  reg [39:0] sum_late_q;

  wire [31:0] add_even = zero_i ? 32'd0 : {{12{sum_late_q[19]}}, sum_late_q[19:0]};
  wire [31:0] add_odd  = zero_i ? 32'd0 : {{12{sum_late_q[39]}}, sum_late_q[39:20]};

  always @(posedge clk_i) begin
    if (multiply_i) sum_q <= {odd[19:0], even[19:0]};
    if (move_i) sum_late_q <= sum_q;
    if (accumulate_i) begin
      acc_o[31:0]  <= (first_i ? 32'd0 : acc_o[31:0]) + add_even;
      acc_o[63:32] <= (first_i ? 32'd0 : acc_o[63:32]) + add_odd;
    end
  end

endmodule
`default_nettype wire
