// The multiply-accumulate array: Pixels x Block x Block products of int8 per cycle, output-stationary.
// Does: take one step (a word for each pixel, a weight block) per cycle, add it to the accumulators, and say
// when a strip's accumulators are complete. Pixel pairs without a live pixel do not multiply.
// Does not: stall, fetch, or keep a strip: acc_o is valid in the one cycle strip_valid_o is high.
// Latency: step_valid_i -> strip_valid_o 3 cycles.
`default_nettype none
module vla_mac_array #(
  parameter Pixels = 8,  // pixels of a strip, even
  parameter Block  = 16  // channels of a channel block
) (
  input  wire                         clk_i,
  input  wire                         rst_i,
  input  wire                         step_valid_i,
  input  wire                         step_first_i,   // first step of a strip
  input  wire                         step_last_i,    // last step of a strip
  input  wire                         step_empty_i,   // the only step of a strip without weights: sum 0
  input  wire                         step_silent_i,  // handed on with the strip: its bias counts as 0
  input  wire [Pixels/2-1:0]          step_pairs_i,   // pixel pairs with a live pixel
  input  wire [8*Block*Pixels-1:0]    activations_i,
  input  wire [8*Block*Block-1:0]     weights_i,
  output wire                         strip_valid_o,
  output wire                         strip_silent_o,
  output wire [32*Block*Pixels-1:0]   acc_o           // [pair][out channel][pixel of the pair]
);

  localparam WordBits = 8 * Block;
  localparam Pairs    = Pixels / 2;

  // Flags follow their step: index 1 when sum_q of the cells holds it, 2 when sum_late_q does.
  reg [2:1]       valid_q;
  reg [2:1]       first_q;
  reg [2:1]       last_q;
  reg [2:1]       empty_q;
  reg [2:1]       silent_q;
  reg [Pairs-1:0] pairs_q;       // pairs that multiplied, at index 1
  reg             strip_valid_q;
  reg             strip_silent_q;

  wire [Pairs-1:0] multiply = step_valid_i && !step_empty_i ? step_pairs_i : {Pairs{1'b0}};

  always @(posedge clk_i) begin
    if (rst_i) begin
      valid_q       <= 2'b00;
      pairs_q       <= {Pairs{1'b0}};
      strip_valid_q <= 1'b0;
    end else begin
      valid_q       <= {valid_q[1], step_valid_i};
      pairs_q       <= multiply;
      strip_valid_q <= valid_q[2] && last_q[2];
    end
  end

  always @(posedge clk_i) begin
    first_q        <= {first_q[1], step_first_i};
    last_q         <= {last_q[1], step_last_i};
    empty_q        <= {empty_q[1], step_empty_i};
    silent_q       <= {silent_q[1], step_silent_i};
    strip_silent_q <= silent_q[2];
  end

  assign strip_valid_o  = strip_valid_q;
  assign strip_silent_o = strip_silent_q;

  genvar p, o;
  generate
    for (p = 0; p < Pairs; p = p + 1) begin : g_pair
      for (o = 0; o < Block; o = o + 1) begin : g_channel
        vla_mac_cell #(.Block(Block)) u_cell (
          .clk_i(clk_i),
          .multiply_i(multiply[p]),
          .move_i(pairs_q[p]),
          .accumulate_i(valid_q[2]),
          .first_i(first_q[2]),
          .zero_i(empty_q[2]),
          .a0_i(activations_i[2*p*WordBits +: WordBits]),
          .a1_i(activations_i[(2*p + 1)*WordBits +: WordBits]),
          .w_i(weights_i[o*WordBits +: WordBits]),
          .acc_o(acc_o[(p*Block + o)*64 +: 64])
        );
      end
    end

    if (Block % 4 != 0) begin : g_check
      vla_bad_parameter_block_multiple_of_4 u_bad ();
    end
  endgenerate

endmodule
`default_nettype wire
