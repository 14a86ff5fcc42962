// One channel of ROW: a value of a, b, c and its row and channel records to an int16 or int8 result.
// Does: interpolated table over a; a less the pixel's item, or the pixel's record; linear, mul or the channel's record;
// zero point, clamp; table or dithered table over results.
// Does not: keep the table (`vla_row_table`), or stall.
// Latency: 30 cycles. en_i[k] says that stage k holds a value; its registers load at the end of that cycle.
// Same arithmetic as vla_isa.numerics.rows. Products of more than 27 x 18 bits are sums of two.
`include "vla_isa.vh"
`default_nettype none
module vla_row_lane (
  input  wire         clk_i,
  input  wire [29:0]  en_i,
  input  wire [511:0] packet_i,      // constant while a packet runs
  // stage 0
  input  wire [15:0]  a_i,
  input  wire [15:0]  b_i,
  input  wire [15:0]  c_i,
  // of the pixel: stages 5, 6, 7, 9
  input  wire [31:0]  item_i,
  input  wire [31:0]  bias_i,
  input  wire [23:0]  mult_i,
  input  wire [5:0]   shift_i,
  // of the channel: stage 15
  input  wire [63:0]  record_i,
  // of the channel: stage 29
  input  wire [7:0]   dither_i,
  input  wire         live_i,
  // table: the row asked for in stage 1 or 27 is there in the next stage
  output wire [6:0]   table_row_o,
  input  wire [63:0]  table_row_i,
  output reg  [15:0]  result_o
);

  wire [1:0] func        = packet_i[`VLA_ROW_FUNCTION];
  wire [1:0] mode        = packet_i[`VLA_ROW_ROW_MODE];
  wire [1:0] table_mode  = packet_i[`VLA_ROW_TABLE_MODE];
  wire [1:0] rounding    = packet_i[`VLA_ROW_ROUNDING];
  wire       is_channel  = func == `VLA_ROW_FUNCTION_CHANNEL;
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

  // ---- 0..4: zero points; the table over a ----
  reg signed [16:0] a0_q;
  reg        [16:0] b0_q;
  reg        [15:0] c0_q;
  reg               masked0_q;
  reg               half1_q;
  reg        [7:0]  f1_q, f2_q;
  reg signed [15:0] value2_q, step2_q, value3_q;
  reg signed [24:0] part3_q;
  reg signed [17:0] a4_q;
  wire       [16:0] a3;

  wire [15:0] in16      = a0_q[16] == a0_q[15] ? a0_q[15:0] : {a0_q[16], {15{!a0_q[16]}}};
  wire signed [24:0] rounded3 = (part3_q + 25'sd128) >>> 8;
  wire        unused_sign = ^rounded3[24:17];

  always @(posedge clk_i) begin
    if (en_i[0]) begin
      a0_q      <= less_zero(a_i, packet_i[`VLA_ROW_A_ZERO]);
      b0_q      <= less_zero(b_i, packet_i[`VLA_ROW_B_ZERO]);
      c0_q      <= c_i;
      masked0_q <= is_less && packet_i[`VLA_ROW_A_BYTES] && a_i == 16'h8000;
    end
    if (en_i[1]) begin
      half1_q <= in16[8];
      f1_q    <= in16[7:0];
    end
    if (en_i[2]) begin
      value2_q <= half1_q ? table_row_i[47:32] : table_row_i[15:0];
      step2_q  <= half1_q ? table_row_i[63:48] : table_row_i[31:16];
      f2_q     <= f1_q;
    end
    if (en_i[3]) begin
      value3_q <= value2_q;
      part3_q  <= {{9{step2_q[15]}}, step2_q} * $signed({17'd0, f2_q});
    end
    if (en_i[4])
      a4_q <= is_in16 ? {{2{value3_q[15]}}, value3_q} + {rounded3[16], rounded3[16:0]} : {a3[16], a3};
  end

  // ---- 5..14: the pixel's item or record ----
  reg signed [17:0] a5_q, a6_q, a14_q;
  reg signed [32:0] less5_q;
  reg signed [31:0] product5_q;
  reg signed [32:0] t6_q;
  reg signed [41:0] low7_q;
  reg signed [40:0] high7_q;
  reg signed [57:0] p8_q;
  wire       [15:0] n13;
  wire       [17:0] a13;
  wire              less_fits = less5_q[32:17] == {16{less5_q[32]}};

  always @(posedge clk_i) begin
    if (en_i[5]) begin
      a5_q       <= a4_q;
      less5_q    <= {{15{a4_q[17]}}, a4_q} - {item_i[31], item_i};
      product5_q <= {{14{a4_q[17]}}, a4_q} * $signed({18'd0, packet_i[`VLA_ROW_ROW_K]});
    end
    if (en_i[6]) begin
      a6_q <= !is_less ? a5_q : less_fits ? less5_q[17:0] : {less5_q[32], {17{!less5_q[32]}}};
      t6_q <= {product5_q[31], product5_q} + {bias_i[31], bias_i};
    end
    if (en_i[7]) begin
      low7_q  <= $signed({25'd0, t6_q[16:0]}) * $signed({18'd0, mult_i});
      high7_q <= {{25{t6_q[32]}}, t6_q[32:17]} * $signed({17'd0, mult_i});
    end
    if (en_i[8]) p8_q <= {high7_q, 17'd0} + {{16{low7_q[41]}}, low7_q};
    if (en_i[14]) a14_q <= mode == `VLA_ROW_ROW_MODE_RECORD ? {{2{n13[15]}}, n13} : a13;
  end

  vla_round_shift #(.InBits(58), .OutBits(16)) u_normal (
    .clk_i(clk_i), .en_i(en_i[13:9]), .rounding_i(rounding), .p_i(p8_q), .shift_i(shift_i), .q_o(n13)
  );

  // ---- 15..24: the function ----
  wire       [16:0] b14;
  wire       [15:0] c15;
  reg signed [17:0] a15_q;
  reg signed [34:0] ab15_q, u16_q;
  reg signed [32:0] biased15_q;
  reg        [23:0] mult15_q, mult16_q;
  reg        [5:0]  shift15_q;
  reg               minus15_q;
  reg signed [30:0] c16_q;
  reg signed [41:0] low17_q, c_low17_q, high17_q;
  reg signed [37:0] c_high17_q;
  reg signed [59:0] p18_q, c18_q, p19_q;
  wire              minus18;
  wire       [5:0]  shift19;
  wire       [17:0] r24;

  wire signed [34:0] a14_wide = {{17{a14_q[17]}}, a14_q};
  wire signed [34:0] b14_wide = {{18{b14[16]}}, b14};
  wire               unused_record = record_i[63];

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
                : func == `VLA_ROW_FUNCTION_MUL ? ab15_q : {{17{a15_q[17]}}, a15_q};
      mult16_q <= is_channel ? mult15_q : packet_i[`VLA_ROW_A_MULT];
      c16_q    <= {{15{c15[15]}}, c15} << packet_i[`VLA_ROW_C_SHIFT];
    end
    if (en_i[17]) begin
      low17_q    <= $signed({25'd0, u16_q[16:0]}) * $signed({18'd0, mult16_q});
      high17_q   <= {{24{u16_q[34]}}, u16_q[34:17]} * $signed({18'd0, mult16_q});
      c_low17_q  <= $signed({25'd0, c16_q[16:0]}) * $signed({18'd0, packet_i[`VLA_ROW_C_MULT]});
      c_high17_q <= {{24{c16_q[30]}}, c16_q[30:17]} * $signed({14'd0, packet_i[`VLA_ROW_C_MULT]});
    end
    if (en_i[18]) begin
      p18_q <= {high17_q[41], high17_q, 17'd0} + {{18{low17_q[41]}}, low17_q};
      c18_q <= {{5{c_high17_q[37]}}, c_high17_q, 17'd0} + {{18{c_low17_q[41]}}, c_low17_q};
    end
    if (en_i[19]) p19_q <= is_channel ? (minus18 ? -p18_q : p18_q) : p18_q + c18_q;
  end

  vla_round_shift #(.InBits(60), .OutBits(18)) u_result (
    .clk_i(clk_i), .en_i(en_i[24:20]), .rounding_i(rounding), .p_i(p19_q),
    .shift_i(is_channel ? shift19 : packet_i[`VLA_ROW_SHIFT]), .q_o(r24)
  );

  // ---- 25..29: zero point, clamp, table ----
  wire              masked25;
  reg signed [18:0] moved25_q;
  reg        [15:0] q26_q, q27_q;
  reg        [15:0] entry28_q;
  wire       [7:0]  zero = out_wide ? 8'd0 : packet_i[`VLA_ROW_OUT_ZERO];

  function [15:0] clamped;
    input signed [18:0] value;
    input               wide;
    input        [7:0]  lo;
    input        [7:0]  hi;
    reg signed [18:0] low;
    reg signed [18:0] high;
    reg signed [18:0] at_least;
    begin
      low      = wide ? -19'sd32768 : {{11{lo[7]}}, lo};
      high     = wide ? 19'sd32767 : {{11{hi[7]}}, hi};
      at_least = value < low ? low : value;
      clamped  = at_least > high ? high[15:0] : at_least[15:0];
    end
  endfunction

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

  wire [5:0]  index26 = {!q26_q[7], q26_q[6:2]};
  wire [16:0] spread  = {1'b0, entry28_q} + {9'd0, dither_i};
  wire [15:0] last    = !is_dither ? entry28_q : spread[16:15] != 2'd0 ? 16'd127 : {8'd0, spread[15:8]};
  wire        unused_low = ^spread[7:0];

  assign table_row_o = is_in16 ? {!in16[15], in16[14:9]} : is_dither ? {1'b0, index26} : {2'd0, index26[5:1]};

  always @(posedge clk_i) begin
    if (en_i[25]) moved25_q <= {r24[17], r24} + {{11{zero[7]}}, zero};
    if (en_i[26]) q26_q <= masked25 ? (out_wide ? 16'h8000 : 16'hFF80)
                         : clamped(moved25_q, out_wide, packet_i[`VLA_ROW_LO], packet_i[`VLA_ROW_HI]);
    if (en_i[27]) q27_q <= q26_q;
    if (en_i[28]) entry28_q <= is_out8 || is_dither ? entry(table_row_i, q27_q[2:0], is_out8) : q27_q;
    if (en_i[29]) result_o <= live_i ? last : 16'd0;
  end

  // ---- what is used later travels beside ----
  vla_delay #(.Width(17), .Cycles(3)) u_a3 (.clk_i(clk_i), .data_i(a0_q), .data_o(a3));
  vla_delay #(.Width(18), .Cycles(7)) u_a13 (.clk_i(clk_i), .data_i(a6_q), .data_o(a13));
  vla_delay #(.Width(17), .Cycles(14)) u_b14 (.clk_i(clk_i), .data_i(b0_q), .data_o(b14));
  vla_delay #(.Width(16), .Cycles(15)) u_c15 (.clk_i(clk_i), .data_i(c0_q), .data_o(c15));
  vla_delay #(.Width(1), .Cycles(25)) u_masked (.clk_i(clk_i), .data_i(masked0_q), .data_o(masked25));
  vla_delay #(.Width(1), .Cycles(3)) u_minus (.clk_i(clk_i), .data_i(minus15_q), .data_o(minus18));
  vla_delay #(.Width(6), .Cycles(4)) u_shift (.clk_i(clk_i), .data_i(shift15_q), .data_o(shift19));

endmodule
`default_nettype wire
