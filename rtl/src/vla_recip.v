// RECIP: an item (value, second) becomes a row record with K / (value + add) or K / sqrt(value + add).
// Does: one item per cycle; leading one, 24-bit mantissa, a table of 10 bits, two terms of the series of its
// error, times K, normalised. A sum of 0 or less (modulo 2^64) and a shift beyond 63 give multiplier and shift 0.
// Does not: divide, read or write memory, stall.
// Latency: valid_i -> valid_o 20 cycles. The constants must not change while items are inside.
// Each register in front of and behind a multiplier lies in the DSP: no product is wider than 27 x 18 bits,
// wider ones are sums of two.
// Same arithmetic as vla_isa.numerics.reciprocal; enumerated over all mantissas in tests/rtl/vla_recip.
`default_nettype none
module vla_recip (
  input  wire        clk_i,
  input  wire        rst_i,
  // constants
  input  wire        rsqrt_i,
  input  wire [55:0] add_i,
  input  wire [23:0] mult_i,     // K = mult * 2^-shift, mult >= 2^23
  input  wire [5:0]  shift_i,
  input  wire        minus_i,    // the record's bias is -second, otherwise 0
  // items
  input  wire        valid_i,
  input  wire [63:0] value_i,
  input  wire [31:0] second_i,
  // records
  output wire        valid_o,
  output wire [63:0] record_o    // bias:i32 | mult:u24 | shift:u6 | 0
);

  localparam Latency = 20;

  `include "vla_recip_rom.vh"

  reg [Latency:1] valid_q;  // index k: registers of stage k hold an item
  always @(posedge clk_i) begin
    if (rst_i) valid_q <= {Latency{1'b0}};
    else valid_q <= {valid_q[Latency-1:1], valid_i};
  end
  assign valid_o = valid_q[Latency];

  // Number of the highest one; 0 where there is none above bit 0.
  function [2:0] highest;
    input [7:1] bits;
    begin
      highest[2] = |bits[7:4];
      highest[1] = highest[2] ? |bits[7:6] : |bits[3:2];
      highest[0] = highest[2] ? (highest[1] ? bits[7] : bits[5]) : (highest[1] ? bits[3] : bits[1]);
    end
  endfunction

  // ---- 1..4: the sum, its leading one and mantissa ----
  reg [63:0] x_q, x2_q;
  reg [2:0]  byte2_q, byte3_q, byte4_q;
  reg [30:0] top3_q;     // from the first byte that is not 0 down
  reg [2:0]  bit4_q;
  reg        none2_q, none3_q, none4_q;
  reg [23:0] m4_q;

  wire [7:0] byte_set = {|x_q[63:56], |x_q[55:48], |x_q[47:40], |x_q[39:32],
                         |x_q[31:24], |x_q[23:16], |x_q[15:8], |x_q[7:0]};
  wire [2:0] bit3     = highest(top3_q[30:24]);

  function [30:0] below_byte;
    input [63:0] x;
    input [2:0]  number;
    case (number)
      3'd0:    below_byte = {x[7:0], 23'd0};
      3'd1:    below_byte = {x[15:0], 15'd0};
      3'd2:    below_byte = {x[23:0], 7'd0};
      3'd3:    below_byte = x[31:1];
      3'd4:    below_byte = x[39:9];
      3'd5:    below_byte = x[47:17];
      3'd6:    below_byte = x[55:25];
      default: below_byte = x[63:33];
    endcase
  endfunction

  function [23:0] mantissa;
    input [30:0] top;
    input [2:0]  number;
    case (number)
      3'd0:    mantissa = top[23:0];
      3'd1:    mantissa = top[24:1];
      3'd2:    mantissa = top[25:2];
      3'd3:    mantissa = top[26:3];
      3'd4:    mantissa = top[27:4];
      3'd5:    mantissa = top[28:5];
      3'd6:    mantissa = top[29:6];
      default: mantissa = top[30:7];
    endcase
  endfunction

  always @(posedge clk_i) begin
    if (valid_i) x_q <= value_i + {8'd0, add_i};
    if (valid_q[1]) begin
      x2_q    <= x_q;
      byte2_q <= highest(byte_set[7:1]);
      none2_q <= x_q[63] || byte_set == 8'd0;
    end
    if (valid_q[2]) begin
      top3_q  <= below_byte(x2_q, byte2_q);
      byte3_q <= byte2_q;
      none3_q <= none2_q;
    end
    if (valid_q[3]) begin
      m4_q    <= mantissa(top3_q, bit3);
      byte4_q <= byte3_q;
      bit4_q  <= bit3;
      none4_q <= none3_q;
    end
  end

  // ---- 5..6: the table; y for 1/x, y * y for 1/sqrt(x) ----
  wire [5:0] position4 = {byte4_q, bit4_q};
  reg  [9:0]  y5_q, y6_q;
  reg  [19:0] t6_q;
  always @(posedge clk_i) begin
    if (valid_q[4]) y5_q <= recip_rom({rsqrt_i, rsqrt_i ? {bit4_q[0], m4_q[22:16]} : m4_q[22:15]});
    if (valid_q[5]) begin
      y6_q <= y5_q;
      t6_q <= rsqrt_i ? {10'd0, y5_q} * {10'd0, y5_q} : {10'd0, y5_q};
    end
  end

  // ---- 7..9: f = 1 - m * t in units of 2^-26 ----
  wire [23:0] m6;
  wire        odd8;
  reg  [33:0] low7_q, high7_q;
  reg  [43:0] product8_q;
  reg  [19:0] f9_q;

  wire [44:0] doubled = odd8 ? {product8_q, 1'b0} : {1'b0, product8_q};
  wire [44:0] rest    = rsqrt_i ? 45'h0800_0000_0000 - doubled : 45'h0002_0000_0000 - {1'b0, product8_q};
  wire        unused_rest = ^{rest[44:37], rest[6:0]};  // below and above f

  always @(posedge clk_i) begin
    if (valid_q[6]) begin
      low7_q  <= {10'd0, m6} * {24'd0, t6_q[9:0]};
      high7_q <= {10'd0, m6} * {24'd0, t6_q[19:10]};
    end
    if (valid_q[7]) product8_q <= {high7_q, 10'd0} + {10'd0, low7_q};
    if (valid_q[8]) f9_q <= rsqrt_i ? rest[36:17] : rest[26:7];
  end

  // ---- 10..13: g = f + f^2, or f / 2 + 3 f^2 / 8 ----
  wire signed [19:0] f9 = f9_q;
  wire signed [19:0] f11;
  reg signed  [36:0] low10_q;
  reg signed  [22:0] high10_q;
  reg         [12:0] square11_q;
  reg         [19:0] first12_q;
  reg         [12:0] second12_q;
  reg signed  [20:0] g13_q;

  wire [39:0] square10 = {{high10_q}, 17'd0} + {{3{low10_q[36]}}, low10_q};
  wire [14:0] thrice11 = {2'd0, square11_q} + {1'b0, square11_q, 1'b0};
  wire        unused_square = ^{square10[39], square10[25:0], thrice11[2:0]};

  always @(posedge clk_i) begin
    if (valid_q[9]) begin
      low10_q  <= {{17{f9[19]}}, f9} * $signed({20'd0, f9_q[16:0]});
      high10_q <= {{3{f9[19]}}, f9} * $signed({{20{f9_q[19]}}, f9_q[19:17]});
    end
    if (valid_q[10]) square11_q <= square10[38:26];
    if (valid_q[11]) begin
      first12_q  <= rsqrt_i ? {f11[19], f11[19:1]} : f11;
      second12_q <= rsqrt_i ? {1'b0, thrice11[14:3]} : square11_q;
    end
    if (valid_q[12]) g13_q <= {first12_q[19], first12_q} + {8'd0, second12_q};
  end

  // ---- 14..16: r = y * (1 + g) in 24 bits ----
  wire [9:0]         y13, y14;
  reg signed  [31:0] yg14_q;
  reg         [26:0] sum15_q;
  reg         [23:0] r16_q;

  wire signed [31:0] y13_wide = {22'd0, y13};
  wire signed [31:0] g13_wide = {{11{g13_q[20]}}, g13_q};

  always @(posedge clk_i) begin
    if (valid_q[13]) yg14_q <= y13_wide * g13_wide;
    if (valid_q[14]) sum15_q <= {1'b0, y14, 16'd2} + {{5{yg14_q[31]}}, yg14_q[31:10]};
    if (valid_q[15]) r16_q <= sum15_q[26] ? 24'hFF_FFFF : sum15_q[25:2];
  end

  wire unused_low = ^{yg14_q[9:0], sum15_q[1:0]};

  // ---- 17..20: times K, normalised ----
  wire [5:0]  position17;
  wire        none19;
  reg  [40:0] low17_q;
  reg  [30:0] high17_q;
  reg  [47:0] product18_q;
  reg  [7:0]  exponent18_q, shift19_q;
  reg  [23:0] mult19_q, mult20_q;
  reg  [5:0]  shift20_q;

  wire unused_product = ^product18_q[22:0];

  always @(posedge clk_i) begin
    if (valid_q[16]) begin
      low17_q  <= {17'd0, r16_q} * {24'd0, mult_i[16:0]};
      high17_q <= {7'd0, r16_q} * {24'd0, mult_i[23:17]};
    end
    if (valid_q[17]) begin
      product18_q  <= {high17_q, 17'd0} + {7'd0, low17_q};
      exponent18_q <= {2'd0, rsqrt_i ? {1'b0, position17[5:1]} : position17} + {2'd0, shift_i};
    end
    if (valid_q[18]) begin
      mult19_q  <= product18_q[47] ? product18_q[47:24] : product18_q[46:23];
      shift19_q <= exponent18_q + {7'd0, !product18_q[47]};
    end
    if (valid_q[19]) begin
      mult20_q  <= none19 || shift19_q > 8'd63 ? 24'd0 : mult19_q;
      shift20_q <= none19 || shift19_q > 8'd63 ? 6'd0 : shift19_q[5:0];
    end
  end

  // ---- what is used later travels beside ----
  vla_delay #(.Width(24), .Cycles(2)) u_m (.clk_i(clk_i), .data_i(m4_q), .data_o(m6));
  vla_delay #(.Width(1), .Cycles(4)) u_odd (.clk_i(clk_i), .data_i(position4[0]), .data_o(odd8));
  vla_delay #(.Width(20), .Cycles(2)) u_f (.clk_i(clk_i), .data_i(f9_q), .data_o(f11));
  vla_delay #(.Width(10), .Cycles(7)) u_y13 (.clk_i(clk_i), .data_i(y6_q), .data_o(y13));
  vla_delay #(.Width(10), .Cycles(1)) u_y14 (.clk_i(clk_i), .data_i(y13), .data_o(y14));
  vla_delay #(.Width(6), .Cycles(13)) u_position (.clk_i(clk_i), .data_i(position4), .data_o(position17));
  vla_delay #(.Width(1), .Cycles(15)) u_none (.clk_i(clk_i), .data_i(none4_q), .data_o(none19));

  wire [31:0] bias0 = minus_i ? -second_i : 32'd0;
  wire [31:0] bias20;
  vla_delay #(.Width(32), .Cycles(Latency)) u_bias (.clk_i(clk_i), .data_i(bias0), .data_o(bias20));
  assign record_o = {2'b00, shift20_q, mult20_q, bias20};

endmodule
`default_nettype wire
