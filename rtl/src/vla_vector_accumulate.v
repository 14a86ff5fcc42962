// Reduce the words of one POOL window to one value per channel.
// Does: maximum, or the sum of (x - zero point) wrapping at 32 bits, two words per cycle; words that do
// not exist (outside the input) count as `fill`: -128, or the zero point. A window without any word gives
// -128, or 0.
// Does not: requantize.
// Latency: the result is there one cycle after the window's last step and stays until taken; the next
// window's first step is accepted in the cycle in which it is taken.
`default_nettype none
module vla_vector_accumulate #(
  parameter Block   = 16,  // channels of a word
  parameter TagBits = 22   // bits of the tag that travels with a window
) (
  input  wire                 clk_i,
  input  wire                 rst_i,
  // constant while a packet runs
  input  wire                 max_i,          // maximum instead of sum
  input  wire [7:0]           fill_i,
  // steps of the window
  input  wire                 step_valid_i,
  output wire                 step_ready_o,
  input  wire [1:0]           step_mask_i,
  input  wire                 step_last_i,
  input  wire [TagBits-1:0]   step_tag_i,
  input  wire [16*Block-1:0]  step_words_i,
  // result
  output wire                 result_valid_o,
  input  wire                 result_ready_i,
  output reg  [TagBits-1:0]   result_tag_o,
  output wire [32*Block-1:0]  result_o
);

  reg first_q;
  reg valid_q;

  assign result_valid_o = valid_q;
  assign step_ready_o   = !valid_q || result_ready_i;
  wire step = step_valid_i && step_ready_o;

  always @(posedge clk_i) begin
    if (rst_i) begin
      first_q <= 1'b1;
      valid_q <= 1'b0;
    end else begin
      if (step) first_q <= step_last_i;
      if (step) valid_q <= step_last_i;
      else if (result_ready_i) valid_q <= 1'b0;
    end
  end

  always @(posedge clk_i) begin
    if (step) result_tag_o <= step_tag_i;
  end

  function [31:0] reduced;
    input               first;
    input               max;
    input        [7:0]  fill;
    input signed [31:0] previous;
    input        [7:0]  word0;
    input        [7:0]  word1;
    reg signed [31:0] a;
    reg signed [31:0] b;
    reg signed [31:0] both;
    begin
      a    = {{24{word0[7]}}, word0};
      b    = {{24{word1[7]}}, word1};
      both = max ? (a > b ? a : b) : a + b - {{23{fill[7]}}, fill, 1'b0};
      reduced = first ? both : max ? (both > previous ? both : previous) : previous + both;
    end
  endfunction

  genvar i;
  generate
    for (i = 0; i < Block; i = i + 1) begin : g_lane
      reg signed [31:0] acc_q;
      assign result_o[32*i +: 32] = acc_q;
      always @(posedge clk_i) begin
        if (step) acc_q <= reduced(first_q, max_i, fill_i, acc_q,
                                   step_mask_i[0] ? step_words_i[8*i +: 8] : fill_i,
                                   step_mask_i[1] ? step_words_i[8*(Block+i) +: 8] : fill_i);
      end
    end
  endgenerate

endmodule
`default_nettype wire
