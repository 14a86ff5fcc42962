// One channel of ROW: a value of a, b, c and its row and channel records to an int16 or int8 result.
// Does: interpolated table over a; a less the pixel's item, or the pixel's record; linear, mul, pairs or the channel's
// record; zero point, clamp; table or dithered table over results.
// Does not: keep the table (`vla_row_table`), or stall.
// Latency: 28 cycles. en_i[k] says that stage k holds a value; its registers load at the end of that cycle.
// Same arithmetic as vla_isa.numerics.rows. No product has more than 27 x 18 bits: 10 DSP blocks, wider ones are sums
// of two (`vla_scale`). Of pairs the high bytes are multiplied at once; the low ones go the way of a and b.
`include "vla_isa.vh"
`default_nettype none
module vla_row_lane (
  input  wire         clk_i,
  input  wire [27:0]  en_i,
  input  wire [511:0] packet_i,      // constant while a packet runs
  // stage 0
  input  wire [15:0]  a_i,
  input  wire [15:0]  b_i,
  input  wire [15:0]  c_i,
  // of the pixel: stages 6, 7, 8, 10
  input  wire [31:0]  item_i,
  input  wire [31:0]  bias_i,
  input  wire [23:0]  mult_i,
  input  wire [5:0]   shift_i,
  // of the channel: stage 15
  input  wire [63:0]  record_i,
  // of the channel: stage 27
  input  wire [7:0]   dither_i,
  input  wire         live_i,
  // table: the row asked for in stage 1 or 25 is there in the next stage
  output wire [6:0]   table_row_o,
  input  wire [63:0]  table_row_i,
  output reg  [15:0]  result_o
);

  wire [1:0] func        = packet_i[`VLA_ROW_FUNCTION];
  wire [1:0] mode        = packet_i[`VLA_ROW_ROW_MODE];
  wire [1:0] table_mode  = packet_i[`VLA_ROW_TABLE_MODE];
  wire [1:0] rounding    = packet_i[`VLA_ROW_ROUNDING];
  wire       is_linear   = func == `VLA_ROW_FUNCTION_LINEAR;
  wire       is_channel  = func == `VLA_ROW_FUNCTION_CHANNEL;
  wire       is_pairs    = func == `VLA_ROW_FUNCTION_PAIRS;
  wire       is_less     = mode == `VLA_ROW_ROW_MODE_LESS;
  wire       is_in16     = table_mode == `VLA_ROW_TABLE_MODE_IN16;
  wire       is_out8     = table_mode == `VLA_ROW_TABLE_MODE_OUT8;
  wire       is_dither   = table_mode == `VLA_ROW_TABLE_MODE_DITHER;
  wire       out_wide    = packet_i[`VLA_ROW_OUT_BYTES];
  wire       unused_rest = ^packet_i;

  function [16:0] less_zero;
    input [15:0] value;
    input [7:0]  zero;
    less_zero = {value[15], value} - {{9{zero[7]}}, zero};
  endfunction

  // ---- 0..5: zero points; the table over a ----
  reg signed [16:0] a0_q;
  reg        [16:0] b0_q;
  reg        [15:0] c0_q;
  reg               masked0_q;
  reg signed [7:0]  high_a0_q, high_b0_q;
  reg signed [15:0] high1_q;  // the product of the high bytes
  reg               half1_q;
  reg        [7:0]  f1_q, f2_q;
  reg signed [15:0] value2_q, step2_q;
  reg signed [24:0] part3_q;
  reg signed [16:0] rounded4_q;
  reg signed [17:0] a5_q;
  wire       [15:0] value4;
  wire       [16:0] a4;

  wire [15:0] in16 = a0_q[16] == a0_q[15] ? a0_q[15:0] : {a0_q[16], {15{!a0_q[16]}}};
  wire signed [24:0] rounded3 = (part3_q + 25'sd128) >>> 8;
  wire        unused_sign = ^rounded3[24:17];

  always @(posedge clk_i) begin
    if (en_i[0]) begin
      a0_q      <= is_pairs ? {{9{a_i[7]}}, a_i[7:0]} : less_zero(a_i, packet_i[`VLA_ROW_A_ZERO]);
      b0_q      <= is_pairs ? {{9{b_i[7]}}, b_i[7:0]} : less_zero(b_i, packet_i[`VLA_ROW_B_ZERO]);
      high_a0_q <= is_pairs ? a_i[15:8] : 8'd0;
      high_b0_q <= b_i[15:8];
      c0_q      <= c_i;
      masked0_q <= is_less && packet_i[`VLA_ROW_A_BYTES] && a_i == 16'h8000;
    end
    if (en_i[1]) begin
      high1_q <= high_a0_q * high_b0_q;
      half1_q <= in16[8];
      f1_q    <= in16[7:0];
    end
    if (en_i[2]) begin
      value2_q <= half1_q ? table_row_i[47:32] : table_row_i[15:0];
      step2_q  <= half1_q ? table_row_i[63:48] : table_row_i[31:16];
      f2_q     <= f1_q;
    end
    if (en_i[3]) part3_q    <= {{9{step2_q[15]}}, step2_q} * $signed({17'd0, f2_q});
    if (en_i[4]) rounded4_q <= rounded3[16:0];
    if (en_i[5]) a5_q       <= is_in16 ? {{2{value4[15]}}, value4} + {rounded4_q[16], rounded4_q} : {a4[16], a4};
  end

  // ---- 6..14: the pixel's item or record ----
  reg signed [17:0] a6_q, a7_q, a14_q;
  reg signed [32:0] less6_q, t7_q;
  reg signed [31:0] product6_q;
  wire       [57:0] p9;
  wire       [15:0] n13;
  wire       [17:0] a13;
  wire signed [14:0] k         = {1'b0, packet_i[`VLA_ROW_ROW_K]};
  wire               less_fits = less6_q[32:17] == {16{less6_q[32]}};

  always @(posedge clk_i) begin
    if (en_i[6]) begin
      a6_q       <= a5_q;
      less6_q    <= {{15{a5_q[17]}}, a5_q} - {item_i[31], item_i};
      product6_q <= a5_q * k;
    end
    if (en_i[7]) begin
      a7_q <= !is_less ? a6_q : less_fits ? less6_q[17:0] : {less6_q[32], {17{!less6_q[32]}}};
      t7_q <= {product6_q[31], product6_q} + {bias_i[31], bias_i};
    end
    if (en_i[14]) a14_q <= mode == `VLA_ROW_ROW_MODE_RECORD ? {{2{n13[15]}}, n13} : a13;
  end

  vla_scale u_normal_scale (.clk_i(clk_i), .en_i(en_i[9:8]), .x_i(t7_q), .mult_i(mult_i), .p_o(p9));
  vla_requantize_round #(.Bits(16)) u_normal (
    .clk_i(clk_i), .en_i(en_i[13:10]), .rounding_i(rounding), .zero_i(16'd0), .lo_i(16'h8000), .hi_i(16'h7FFF),
    .p_i(p9), .shift_i(shift_i), .q_o(n13)
  );

  // ---- 15..19: the function ----
  wire       [16:0] b14;
  wire       [15:0] c15, high15;
  reg signed [17:0] a15_q;
  reg signed [34:0] ab15_q, u16_q;
  reg signed [32:0] biased15_q;
  reg        [23:0] mult15_q, mult16_q;
  reg        [5:0]  shift15_q;
  reg               minus15_q;
  reg signed [30:0] c16_q;
  reg        [59:0] p19_q;
  wire       [59:0] p18;
  wire       [55:0] c18;
  wire              minus18;
  wire       [5:0]  shift19;

  wire signed [34:0] a14_wide = {{17{a14_q[17]}}, a14_q};
  wire signed [34:0] b14_wide = {{18{b14[16]}}, b14};
  wire               unused_record = record_i[63];

  // One adder: product and c, or the product or its complement and one.
  wire        negate = is_channel && minus18;
  wire [60:0] sum18  = {p18 ^ {60{negate}}, 1'b1} + {is_channel ? 60'd0 : {{4{c18[55]}}, c18}, negate};
  wire        unused_carry = sum18[0];

  always @(posedge clk_i) begin
    if (en_i[15]) begin
      a15_q      <= a14_q;
      ab15_q     <= a14_wide * b14_wide;
      biased15_q <= {{15{a14_q[17]}}, a14_q} + {record_i[31], record_i[31:0]};
      mult15_q   <= record_i[55:32];
      shift15_q  <= record_i[61:56];
      minus15_q  <= record_i[62];
    end
    if (en_i[16]) begin
      u16_q    <= is_channel ? {{2{biased15_q[32]}}, biased15_q}
                : is_linear ? {{17{a15_q[17]}}, a15_q} : ab15_q + {{19{high15[15]}}, high15};
      mult16_q <= is_channel ? mult15_q : packet_i[`VLA_ROW_A_MULT];
      c16_q    <= {{15{c15[15]}}, c15} << packet_i[`VLA_ROW_C_SHIFT];
    end
    if (en_i[19]) p19_q <= sum18[60:1];
  end

  vla_scale #(.Bits(35)) u_scale (.clk_i(clk_i), .en_i(en_i[18:17]), .x_i(u16_q), .mult_i(mult16_q), .p_o(p18));
  vla_scale #(.Bits(31)) u_c_scale (
    .clk_i(clk_i), .en_i(en_i[18:17]), .x_i(c16_q), .mult_i(packet_i[`VLA_ROW_C_MULT]), .p_o(c18)
  );

  // ---- 20..23: round, zero point, clamp ----
  wire [7:0]  zero = packet_i[`VLA_ROW_OUT_ZERO];
  wire [7:0]  lo   = packet_i[`VLA_ROW_LO];
  wire [7:0]  hi   = packet_i[`VLA_ROW_HI];
  wire [15:0] q23;
  vla_requantize_round #(.Bits(16), .InBits(60)) u_result (
    .clk_i(clk_i), .en_i(en_i[23:20]), .rounding_i(rounding),
    .zero_i(out_wide ? 16'd0 : {{8{zero[7]}}, zero}), .lo_i(out_wide ? 16'h8000 : {{8{lo[7]}}, lo}),
    .hi_i(out_wide ? 16'h7FFF : {{8{hi[7]}}, hi}), .p_i(p19_q),
    .shift_i(is_channel ? shift19 : packet_i[`VLA_ROW_SHIFT]), .q_o(q23)
  );

  // ---- 24..27: masked logits, table ----
  wire        masked23;
  reg  [15:0] q24_q, q25_q;
  reg  [15:0] entry26_q;

  // Entry of a row of 8 bytes: of a byte, of two.
  function [15:0] entry;
    input [63:0] row;
    input [2:0]  number;
    input        bytes;
    reg [63:0] moved_unused;  // but for the entry, now lowest
    begin
      moved_unused = row >> (bytes ? {number, 3'd0} : {number[1:0], 4'd0});
      entry        = bytes ? {{8{moved_unused[7]}}, moved_unused[7:0]} : moved_unused[15:0];
    end
  endfunction

  wire [5:0]  index24 = {!q24_q[7], q24_q[6:2]};
  wire [16:0] spread  = {1'b0, entry26_q} + {9'd0, dither_i};
  wire [15:0] last    = !is_dither ? entry26_q : spread[16:15] != 2'd0 ? 16'd127 : {8'd0, spread[15:8]};
  wire        unused_low = ^spread[7:0];

  assign table_row_o = is_in16 ? {!in16[15], in16[14:9]} : is_dither ? {1'b0, index24} : {2'd0, index24[5:1]};

  always @(posedge clk_i) begin
    if (en_i[24]) q24_q <= !masked23 ? q23 : out_wide ? 16'h8000 : 16'hFF80;
    if (en_i[25]) q25_q <= q24_q;
    if (en_i[26]) entry26_q <= is_out8 || is_dither ? entry(table_row_i, q25_q[2:0], is_out8) : q25_q;
    if (en_i[27]) result_o <= live_i ? last : 16'd0;
  end

  // ---- what is used later travels beside ----
  vla_delay #(.Width(17), .Cycles(4)) u_a4 (.clk_i(clk_i), .data_i(a0_q), .data_o(a4));
  vla_delay #(.Width(16), .Cycles(2)) u_value4 (.clk_i(clk_i), .data_i(value2_q), .data_o(value4));
  vla_delay #(.Width(18), .Cycles(6)) u_a13 (.clk_i(clk_i), .data_i(a7_q), .data_o(a13));
  vla_delay #(.Width(17), .Cycles(14)) u_b14 (.clk_i(clk_i), .data_i(b0_q), .data_o(b14));
  vla_delay #(.Width(16), .Cycles(14)) u_high15 (.clk_i(clk_i), .data_i(high1_q), .data_o(high15));
  vla_delay #(.Width(16), .Cycles(15)) u_c15 (.clk_i(clk_i), .data_i(c0_q), .data_o(c15));
  vla_delay #(.Width(1), .Cycles(23)) u_masked (.clk_i(clk_i), .data_i(masked0_q), .data_o(masked23));
  vla_delay #(.Width(1), .Cycles(3)) u_minus (.clk_i(clk_i), .data_i(minus15_q), .data_o(minus18));
  vla_delay #(.Width(6), .Cycles(4)) u_shift (.clk_i(clk_i), .data_i(shift15_q), .data_o(shift19));

endmodule
`default_nettype wire
