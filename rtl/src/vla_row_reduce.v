// One pixel of REDUCE, and the sums of ROW: Block values of a channel block per cycle, an item at the pixel's last block.
// Does: sum, maximum, sum of squares, moments (D * sum of squares - square of the sum, and the sum), index of the
// maximum (the lowest of equal ones), over the lanes that are live.
// Does not: fetch, pack or write, or stall.
// Latency: 7 cycles from the last block to the item; one block per cycle. The function and D must not change while
// values are inside.
// Same arithmetic as vla_isa.numerics.moments and the meaning of REDUCE. |value| < 2^17, at most 16383 channels.
`include "vla_isa.vh"
`default_nettype none
module vla_row_reduce #(
  parameter Block = 16
) (
  input  wire                clk_i,
  input  wire                rst_i,
  // constant while a packet runs
  input  wire [2:0]          function_i,
  input  wire [13:0]         channels_i,
  // blocks
  input  wire                valid_i,
  input  wire                first_i,
  input  wire                last_i,
  input  wire [17*Block-1:0] values_i,
  input  wire [Block-1:0]    live_i,
  // items
  output wire                valid_o,
  output reg  [63:0]         value_o,
  output reg  [31:0]         second_o
);

  localparam Quarters = Block / 4;
  localparam IndexBits = $clog2(Block);

  reg [6:0] valid_q;  // bit k: stage k + 1 holds a block, from stage 4 on a pixel's last
  reg [3:1] first_q, last_q;
  always @(posedge clk_i) begin
    if (rst_i) valid_q <= 7'd0;
    else valid_q <= {valid_q[5:4], valid_q[3], valid_q[2] && last_q[3], valid_q[1:0], valid_i};
    first_q <= {first_q[2:1], first_i};
    last_q  <= {last_q[2:1], last_i};
  end
  assign valid_o = valid_q[6];

  // ---- 1: squares; what is not live counts in no function ----
  reg signed [17*Block-1:0] low1_q;   // for sums: 0
  reg        [17*Block-1:0] high1_q;  // for the maximum: the least value
  reg        [34*Block-1:0] square1_q;
  genvar l;
  generate
    for (l = 0; l < Block; l = l + 1) begin : g_lane
      wire signed [16:0] v = values_i[17*l +: 17];
      always @(posedge clk_i) begin
        if (valid_i) begin
          low1_q[17*l +: 17]    <= live_i[l] ? values_i[17*l +: 17] : 17'd0;
          high1_q[17*l +: 17]   <= live_i[l] ? values_i[17*l +: 17] : 17'h10000;
          square1_q[34*l +: 34] <= live_i[l] ? v * v : 34'sd0;
        end
      end
    end
  endgenerate

  // ---- 2: four lanes each ----
  function [18:0] wide19;
    input [16:0] v;
    wide19 = {{2{v[16]}}, v};
  endfunction
  function [20:0] wide21;
    input [18:0] v;
    wide21 = {{2{v[18]}}, v};
  endfunction
  // The larger of two values, the first of equal ones: {is the second, value}.
  function [17:0] larger;
    input signed [16:0] a;
    input signed [16:0] b;
    larger = b > a ? {1'b1, b} : {1'b0, a};
  endfunction

  reg [19*Quarters-1:0] sum2_q;
  reg [36*Quarters-1:0] square2_q;
  reg [17*Quarters-1:0] top2_q;
  reg [2*Quarters-1:0]  at2_q;
  generate
    for (l = 0; l < Quarters; l = l + 1) begin : g_quarter
      wire [17:0] one   = larger(high1_q[68*l +: 17], high1_q[68*l + 17 +: 17]);
      wire [17:0] two   = larger(high1_q[68*l + 34 +: 17], high1_q[68*l + 51 +: 17]);
      wire [17:0] both  = larger(one[16:0], two[16:0]);
      always @(posedge clk_i) begin
        if (valid_q[0]) begin
          sum2_q[19*l +: 19]    <= wide19(low1_q[68*l +: 17]) + wide19(low1_q[68*l + 17 +: 17])
                                   + wide19(low1_q[68*l + 34 +: 17]) + wide19(low1_q[68*l + 51 +: 17]);
          square2_q[36*l +: 36] <= {2'd0, square1_q[136*l +: 34]} + {2'd0, square1_q[136*l + 34 +: 34]}
                                   + {2'd0, square1_q[136*l + 68 +: 34]} + {2'd0, square1_q[136*l + 102 +: 34]};
          top2_q[17*l +: 17]    <= both[16:0];
          at2_q[2*l +: 2]       <= {both[17], both[17] ? two[17] : one[17]};
        end
      end
    end
  endgenerate

  // ---- 3: the block (Quarters is 2 or 4) ----
  wire [19*4-1:0] sums    = {{(4 - Quarters){19'd0}}, sum2_q};
  wire [36*4-1:0] squares = {{(4 - Quarters){36'd0}}, square2_q};
  wire [17*4-1:0] tops    = {{(4 - Quarters){17'h10000}}, top2_q};
  wire [2*4-1:0]  ats     = {{(4 - Quarters){2'd0}}, at2_q};
  wire [17:0]     one2    = larger(tops[0 +: 17], tops[17 +: 17]);
  wire [17:0]     two2    = larger(tops[34 +: 17], tops[51 +: 17]);
  wire [17:0]     both2   = larger(one2[16:0], two2[16:0]);
  wire [1:0]      quarter = {both2[17], both2[17] ? two2[17] : one2[17]};
  wire [3:0]      lane2   = {quarter, ats[2*quarter +: 2]};
  wire            unused_quarter = Quarters == 2 && ^lane2[3:IndexBits - 1];

  reg signed [20:0]          sum3_q;
  reg        [37:0]          square3_q;
  reg signed [16:0]          top3_q;
  reg        [IndexBits-1:0] lane3_q;
  always @(posedge clk_i) begin
    if (valid_q[1]) begin
      sum3_q    <= wide21(sums[0 +: 19]) + wide21(sums[19 +: 19]) + wide21(sums[38 +: 19]) + wide21(sums[57 +: 19]);
      square3_q <= {2'd0, squares[0 +: 36]} + {2'd0, squares[36 +: 36]} + {2'd0, squares[72 +: 36]}
                   + {2'd0, squares[108 +: 36]};
      top3_q    <= both2[16:0];
      lane3_q   <= lane2[IndexBits-1:0];
    end
  end

  // ---- 4: the pixel ----
  reg signed [31:0] sum4_q;
  reg        [51:0] square4_q;
  reg signed [16:0] top4_q;
  reg        [13:0] at4_q;
  reg        [13:0] block_q;  // first channel of the block in stage 3
  wire       [13:0] block = first_q[3] ? 14'd0 : block_q;
  always @(posedge clk_i) begin
    if (valid_q[2]) begin
      sum4_q    <= (first_q[3] ? 32'sd0 : sum4_q) + {{11{sum3_q[20]}}, sum3_q};
      square4_q <= (first_q[3] ? 52'd0 : square4_q) + {14'd0, square3_q};
      block_q   <= block + Block[13:0];
      if (first_q[3] || top3_q > top4_q) begin
        top4_q <= top3_q;
        at4_q  <= block + {{(14 - IndexBits){1'b0}}, lane3_q};
      end
    end
  end

  // ---- 5..7: moments ----
  wire moments = function_i == `VLA_REDUCE_FUNCTION_MOMENTS;
  reg        [39:0] low5_q, high5_q;
  reg signed [33:0] ss_low5_q;
  reg signed [31:0] ss_mid5_q;
  reg signed [29:0] ss_high5_q;
  reg        [63:0] times6_q, square6_q;
  reg        [63:0] value5_q, value6_q;
  reg        [31:0] sum5_q, sum6_q;

  // halves that a DSP block multiplies
  wire signed [17:0] sum_low     = {1'b0, sum4_q[16:0]};
  wire signed [14:0] sum_high    = sum4_q[31:17];
  wire signed [26:0] square_low  = {1'b0, square4_q[25:0]};
  wire signed [26:0] square_high = {1'b0, square4_q[51:26]};
  wire signed [14:0] count       = {1'b0, channels_i};

  always @(posedge clk_i) begin
    if (valid_q[3]) begin
      low5_q     <= count * square_low;
      high5_q    <= count * square_high;
      ss_low5_q  <= sum_low * sum_low;
      ss_mid5_q  <= sum_low * sum_high;
      ss_high5_q <= sum_high * sum_high;
      sum5_q     <= sum4_q;
      case (function_i)
        `VLA_REDUCE_FUNCTION_MAX:    value5_q <= {{47{top4_q[16]}}, top4_q};
        `VLA_REDUCE_FUNCTION_ARGMAX: value5_q <= {50'd0, at4_q};
        `VLA_REDUCE_FUNCTION_SUM:    value5_q <= {{32{sum4_q[31]}}, sum4_q};
        default:                     value5_q <= {12'd0, square4_q};
      endcase
    end
    if (valid_q[4]) begin
      times6_q  <= {24'd0, low5_q} + {high5_q[37:0], 26'd0};
      square6_q <= {30'd0, ss_low5_q} + {{14{ss_mid5_q[31]}}, ss_mid5_q, 18'd0} + {ss_high5_q, 34'd0};
      value6_q  <= value5_q;
      sum6_q    <= sum5_q;
    end
    if (valid_q[5]) begin
      value_o  <= moments ? times6_q - square6_q : value6_q;
      second_o <= moments ? sum6_q : 32'd0;
    end
  end

  wire unused_high = ^high5_q[39:38];

endmodule
`default_nettype wire
