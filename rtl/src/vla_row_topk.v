// One pixel of REDUCE topk_mask: which of its channels are among the k largest, of equal ones those of lower index.
// Does: find the k-th largest value two bits at a time, from the highest bits down, each time in one pass over the
// pixel's blocks: of the values that agree with it so far, count those whose next two bits are at least 1, 2 and 3. In a
// last pass give the mask: what is above that value, and the first ones that equal it.
// Does not: walk, fetch or write, or stall. int8 takes 4 passes and the last one, int16 8.
// Latency: a pass's last block -> decided_o 6 cycles later, the next pass may enter with it; a block of the
// last pass -> its mask 5 cycles. The next pixel's first pass may follow the last pass at once.
`default_nettype none
module vla_row_topk #(
  parameter Block = 16
) (
  input  wire                clk_i,
  input  wire                rst_i,
  input  wire                start_i,    // of a packet
  // constant while a packet runs
  input  wire                wide_i,     // int16
  input  wire [9:0]          k_i,
  // blocks
  input  wire                valid_i,
  input  wire                first_i,    // of a pass
  input  wire                last_i,
  input  wire                mask_i,     // of the last pass
  input  wire [16*Block-1:0] values_i,
  input  wire [Block-1:0]    live_i,
  // results
  output wire                decided_o,
  output wire                valid_o,
  output reg  [Block-1:0]    mask_o
);

  localparam Quarters = Block / 4;

  reg [4:0] valid_q;  // bit i: stage i + 1 holds a block
  reg [3:1] first_q;
  reg [5:1] last_q, last_pass_q;
  always @(posedge clk_i) begin
    if (rst_i) valid_q <= 5'd0;
    else valid_q <= {valid_q[3:0], valid_i};
    first_q     <= {first_q[2:1], first_i};
    last_q      <= {last_q[4:1], last_i};
    last_pass_q <= {last_pass_q[4:1], mask_i};
  end

  // ---- what is known of the k-th largest value, without its sign: bits above the next two ----
  reg  [15:0] value_q;
  reg  [15:0] known_q;   // which bits those are
  reg  [2:0]  pair_q;    // the next two bits are 2 * pair_q and the one above
  reg  [14:0] above_q;   // how many values are above all that begin with those bits
  reg  [9:0]  equal_q;   // how many of the values that equal it are in the mask

  // ---- 1: compare ----
  reg [3*Block-1:0] hits_q;   // agrees so far, and its next bits are at least 1, 2, 3
  reg [Block-1:0]   larger_q, equal1_q;
  genvar l;
  generate
    for (l = 0; l < Block; l = l + 1) begin : g_lane
      wire [15:0] v      = values_i[16*l +: 16];
      wire [15:0] u      = wide_i ? {!v[15], v[14:0]} : {8'd0, !v[7], v[6:0]};
      wire [1:0]  next   = u[2*pair_q +: 2];
      wire        agrees = live_i[l] && ((u ^ value_q) & known_q) == 16'd0;
      always @(posedge clk_i) begin
        if (valid_i) begin
          hits_q[3*l +: 3] <= {agrees && next == 2'd3, agrees && next[1], agrees && next != 2'd0};
          larger_q[l]      <= live_i[l] && u > value_q;
          equal1_q[l]      <= agrees;
        end
      end
    end
  endgenerate

  // ---- 2: four lanes each: counts, and how many equal ones a lane has before it ----
  function [2:0] count4;
    input [3:0] bits;
    count4 = {2'd0, bits[0]} + {2'd0, bits[1]} + {2'd0, bits[2]} + {2'd0, bits[3]};
  endfunction

  reg [3*4-1:0]     one2_q, two2_q, three2_q, equals2_q;  // at most four quarters
  reg [2*Block-1:0] rank2_q;
  reg [Block-1:0]   larger2_q, equal2_q;
  genvar q;
  generate
    for (q = 0; q < 4; q = q + 1) begin : g_quarter
      if (q < Quarters) begin : g_used
        wire [11:0] h = hits_q[12*q +: 12];
        wire [3:0]  e = equal1_q[4*q +: 4];
        always @(posedge clk_i) begin
          if (valid_q[0]) begin
            one2_q[3*q +: 3]    <= count4({h[9], h[6], h[3], h[0]});
            two2_q[3*q +: 3]    <= count4({h[10], h[7], h[4], h[1]});
            three2_q[3*q +: 3]  <= count4({h[11], h[8], h[5], h[2]});
            equals2_q[3*q +: 3] <= count4(e);
            rank2_q[8*q +: 8]   <= {{1'b0, e[0]} + {1'b0, e[1]} + {1'b0, e[2]}, {1'b0, e[0]} + {1'b0, e[1]},
                                    {1'b0, e[0]}, 2'd0};
          end
        end
      end else begin : g_none
        always @(posedge clk_i) begin
          one2_q[3*q +: 3]    <= 3'd0;
          two2_q[3*q +: 3]    <= 3'd0;
          three2_q[3*q +: 3]  <= 3'd0;
          equals2_q[3*q +: 3] <= 3'd0;
        end
      end
    end
  endgenerate
  always @(posedge clk_i) begin
    if (valid_q[0]) begin
      larger2_q <= larger_q;
      equal2_q  <= equal1_q;
    end
  end

  // ---- 3: the block ----
  function [4:0] sum4;
    input [11:0] counts;
    sum4 = {2'd0, counts[2:0]} + {2'd0, counts[5:3]} + {2'd0, counts[8:6]} + {2'd0, counts[11:9]};
  endfunction

  reg [4:0]         one3_q, two3_q, three3_q, equals3_q;
  reg [4*Block-1:0] rank3_q;
  reg [Block-1:0]   larger3_q, equal3_q;
  generate
    for (l = 0; l < Block; l = l + 1) begin : g_rank
      wire [3:0] earlier = l < 4 ? 4'd0 : l < 8 ? {1'b0, equals2_q[2:0]}
                          : l < 12 ? {1'b0, equals2_q[2:0]} + {1'b0, equals2_q[5:3]}
                          : {1'b0, equals2_q[2:0]} + {1'b0, equals2_q[5:3]} + {1'b0, equals2_q[8:6]};
      always @(posedge clk_i) begin
        if (valid_q[1]) rank3_q[4*l +: 4] <= earlier + {2'd0, rank2_q[2*l +: 2]};
      end
    end
  endgenerate
  always @(posedge clk_i) begin
    if (valid_q[1]) begin
      one3_q    <= sum4(one2_q);
      two3_q    <= sum4(two2_q);
      three3_q  <= sum4(three2_q);
      equals3_q <= sum4(equals2_q);
      larger3_q <= larger2_q;
      equal3_q  <= equal2_q;
    end
  end

  // ---- 4: the pass; how many equal ones may still come ----
  reg  [13:0]      one4_q, two4_q, three4_q;
  reg  [9:0]       left_q;
  wire [9:0]       left = first_q[3] ? equal_q : left_q;
  reg  [Block-1:0] larger4_q, equal4_q;  // the equal ones that are among the first
  generate
    for (l = 0; l < Block; l = l + 1) begin : g_first
      always @(posedge clk_i) begin
        if (valid_q[2]) equal4_q[l] <= equal3_q[l] && {6'd0, rank3_q[4*l +: 4]} < left;
      end
    end
  endgenerate
  always @(posedge clk_i) begin
    if (valid_q[2]) begin
      one4_q    <= (first_q[3] ? 14'd0 : one4_q) + {9'd0, one3_q};
      two4_q    <= (first_q[3] ? 14'd0 : two4_q) + {9'd0, two3_q};
      three4_q  <= (first_q[3] ? 14'd0 : three4_q) + {9'd0, three3_q};
      left_q    <= left > {5'd0, equals3_q} ? left - {5'd0, equals3_q} : 10'd0;
      larger4_q <= larger3_q;
    end
  end

  // ---- 5: the mask; how many values are at least what begins with the next bits ----
  reg [14:0] one5_q, two5_q, three5_q;
  assign valid_o = valid_q[4] && last_pass_q[5];
  always @(posedge clk_i) begin
    if (valid_q[3]) begin
      mask_o   <= larger4_q | equal4_q;
      one5_q   <= above_q + {1'b0, one4_q};
      two5_q   <= above_q + {1'b0, two4_q};
      three5_q <= above_q + {1'b0, three4_q};
    end
  end

  // ---- 6: two bits more ----
  wire        decide = valid_q[4] && last_q[5] && !last_pass_q[5];
  wire [14:0] k      = {5'd0, k_i};
  wire        three  = three5_q >= k;
  wire        two    = two5_q >= k;
  wire        one    = one5_q >= k;
  wire [1:0]  bits   = three ? 2'd3 : two ? 2'd2 : one ? 2'd1 : 2'd0;
  wire [14:0] above  = three ? above_q : two ? three5_q : one ? two5_q : one5_q;
  reg         decided_q;
  assign decided_o = decided_q;

  always @(posedge clk_i) begin
    decided_q <= decide && !rst_i;
    if (start_i || (valid_i && last_i && mask_i)) begin
      value_q <= 16'd0;
      known_q <= 16'd0;
      pair_q  <= wide_i ? 3'd7 : 3'd3;
    end else if (decide) begin
      value_q[2*pair_q +: 2] <= bits;
      known_q[2*pair_q +: 2] <= 2'd3;
      pair_q                 <= pair_q - 3'd1;
    end
    if (start_i || (valid_i && last_i && mask_i)) above_q <= 15'd0;
    else if (decide) above_q <= above;
    if (decided_q) equal_q <= above_q < k ? k_i - above_q[9:0] : 10'd0;
  end

  generate
    if (Block != 8 && Block != 16) begin : g_check
      vla_bad_parameter_topk_block_8_or_16 u_bad ();
    end
  endgenerate

endmodule
`default_nettype wire
