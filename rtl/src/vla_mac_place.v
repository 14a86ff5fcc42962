// Where results go: pixel pairs in the order in which the strips are drained, with their residual words.
// Does: step through batches, out blocks and pixels, two pixels at a time; give the output addresses and
// flags of a pair, and the words of the residual, read beforehand through two lanes.
// Does not: wait for results, or overrun the queues behind it: it holds Credits, spends one per pair and
// gets it back with freed_i.
// Latency: start_i -> first pair 2 cycles, with a residual 7, then one pair per cycle while all residual words are
// granted.
// Handshake: pair_valid_o for one cycle per pair; there is always room.
`include "vla_isa.vh"
`default_nettype none
module vla_mac_place #(
  parameter Pixels  = 8,
  parameter Block   = 16,
  parameter ActAw   = 17,
  parameter Credits = 32
) (
  input  wire                 clk_i,
  input  wire                 rst_i,
  // the running packet
  input  wire                 start_i,
  input  wire [511:0]         conv_i,
  input  wire [11:0]          out_blocks_i,
  input  wire [9:0]           batches_i,
  input  wire [ActAw-1:0]     out_batch_stride_i,
  input  wire [ActAw-1:0]     out_slot_row_i,
  input  wire [ActAw-1:0]     res_slot_row_i,
  // residual lanes of the activation memory
  output wire [1:0]           res_rd_valid_o,
  output wire [2*ActAw-1:0]   res_rd_addr_o,
  input  wire [1:0]           res_rd_grant_i,
  input  wire [1:0]           res_rd_word_i,
  input  wire [16*Block-1:0]  res_rd_data_i,
  // pairs
  input  wire                 freed_i,
  output wire                 pair_valid_o,
  output wire                 pair_both_o,         // the second pixel exists
  output wire                 pair_strip_last_o,   // last live pair of its strip
  output wire                 pair_tile_last_o,
  output wire                 pair_packet_last_o,
  output wire [2*ActAw-1:0]   pair_addr_o,
  output wire [16*Block-1:0]  pair_residual_o
);

  localparam Pairs      = Pixels / 2;
  localparam PairAw     = Pairs > 1 ? $clog2(Pairs) : 1;
  localparam CreditBits = $clog2(Credits) + 1;
  localparam WordBits   = 8 * Block;
  localparam PairEnd    = Pairs - 1;
  localparam [PairAw-1:0] LastPair = PairEnd[PairAw-1:0];

  wire unused_conv = &{1'b0, conv_i};

  wire [10:0] out_h    = conv_i[`VLA_CONV_OUT_H];
  wire [13:0] out_w    = conv_i[`VLA_CONV_OUT_W];
  wire        residual = conv_i[`VLA_CONV_RESIDUAL_ENABLE];

  // ---- the pair at (row_q, x_q) ----
  reg                  busy_q;
  reg [13:0]           x_q;
  reg [10:0]           row_q;
  reg [PairAw-1:0]     pair_q;           // in its strip
  reg [11:0]           blocks_left_q;
  reg [9:0]            batches_left_q;
  reg [CreditBits-1:0] credits_q;

  wire        wrap1   = x_q + 14'd1 == out_w;
  wire [13:0] x1      = wrap1 ? 14'd0 : x_q + 14'd1;
  wire        wrap2   = x1 + 14'd1 == out_w;
  wire [13:0] x2      = wrap2 ? 14'd0 : x1 + 14'd1;
  wire [1:0]  rows    = {1'b0, wrap1} + {1'b0, wrap2};
  wire [11:0] row1    = {1'b0, row_q} + {11'd0, wrap1};
  wire [11:0] row2    = {1'b0, row_q} + {10'd0, rows};
  wire        both    = row1 < {1'b0, out_h};
  wire        tile_end   = row2 >= {1'b0, out_h};
  wire        batch_end  = tile_end && blocks_left_q == 12'd1;
  wire        packet_end = batch_end && batches_left_q == 10'd1;
  wire        strip_end  = tile_end || pair_q == LastPair;

  wire may_step;  // the queues of pairs and of residual addresses have room
  wire step = busy_q && credits_q != 0 && may_step;

  always @(posedge clk_i) begin
    if (rst_i) begin
      busy_q    <= 1'b0;
      credits_q <= Credits;
    end else begin
      if (start_i) busy_q <= 1'b1;
      else if (step && packet_end) busy_q <= 1'b0;
      credits_q <= credits_q + {{CreditBits-1{1'b0}}, freed_i} - {{CreditBits-1{1'b0}}, step};
    end
  end

  always @(posedge clk_i) begin
    if (start_i) begin
      x_q            <= 14'd0;
      row_q          <= 11'd0;
      pair_q         <= {PairAw{1'b0}};
      blocks_left_q  <= out_blocks_i;
      batches_left_q <= batches_i;
    end else if (step) begin
      x_q    <= tile_end ? 14'd0 : x2;
      row_q  <= tile_end ? 11'd0 : row2[10:0];
      pair_q <= strip_end ? {PairAw{1'b0}} : pair_q + 1'b1;
      if (tile_end) blocks_left_q <= batch_end ? out_blocks_i : blocks_left_q - 12'd1;
      if (batch_end) batches_left_q <= batches_left_q - 10'd1;
    end
  end

  wire [ActAw-1:0]  out_row, out_next_row, res_row, res_next_row;
  wire [ActAw+13:0] out_pitch = {{ActAw{1'b0}}, conv_i[`VLA_CONV_OUT_PITCH]};
  wire [ActAw+13:0] res_pitch = {{ActAw{1'b0}}, conv_i[`VLA_CONV_RES_PITCH]};
  wire [ActAw+13:0] x_wide    = {{ActAw{1'b0}}, x_q};
  wire [ActAw+13:0] x1_wide   = {{ActAw{1'b0}}, x1};
  wire              unused_high = &{1'b0, out_pitch[ActAw+13:ActAw], res_pitch[ActAw+13:ActAw],
                                    x_wide[ActAw+13:ActAw], x1_wide[ActAw+13:ActAw]};

  vla_mac_region #(.ActAw(ActAw)) u_out (
    .clk_i(clk_i),
    .base_i(conv_i[`VLA_CONV_OUT_BASE_LSB +: ActAw]), .row_stride_i(conv_i[`VLA_CONV_OUT_ROW_STRIDE_LSB +: ActAw]),
    .pitch_i(out_pitch[ActAw-1:0]), .ring_i(conv_i[`VLA_CONV_OUT_RING]), .slot_i(conv_i[`VLA_CONV_OUT_SLOT]),
    .slot_row_i(out_slot_row_i), .batch_stride_i(out_batch_stride_i),
    .start_i(start_i), .step_i(step), .rows_i(rows), .tile_i(tile_end), .batch_i(batch_end),
    .row_o(out_row), .next_row_o(out_next_row)
  );

  vla_mac_region #(.ActAw(ActAw)) u_res (
    .clk_i(clk_i),
    .base_i(conv_i[`VLA_CONV_RES_BASE_LSB +: ActAw]), .row_stride_i(conv_i[`VLA_CONV_RES_ROW_STRIDE_LSB +: ActAw]),
    .pitch_i(res_pitch[ActAw-1:0]), .ring_i(conv_i[`VLA_CONV_RES_RING]), .slot_i(conv_i[`VLA_CONV_RES_SLOT]),
    .slot_row_i(res_slot_row_i), .batch_stride_i({ActAw{1'b0}}),
    .start_i(start_i), .step_i(step), .rows_i(rows), .tile_i(tile_end), .batch_i(batch_end),
    .row_o(res_row), .next_row_o(res_next_row)
  );

  // ---- residual words on their way, and the pairs that wait for them ----
  wire [1:0]        lane_ready, word_valid;
  wire              queue_ready, queue_valid, queue_both;
  wire              release_pair = queue_valid && (!residual || (word_valid | {!queue_both, 1'b0}) == 2'b11);
  assign may_step = queue_ready && (!residual || lane_ready == 2'b11);

  vla_fifo #(.Width(4 + 2*ActAw), .Depth(16)) u_pairs (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(step), .in_ready_o(queue_ready),
    .in_data_i({both, strip_end, tile_end, packet_end,
                (wrap1 ? out_next_row : out_row) + x1_wide[ActAw-1:0], out_row + x_wide[ActAw-1:0]}),
    .out_valid_o(queue_valid), .out_ready_i(release_pair),
    .out_data_o({queue_both, pair_strip_last_o, pair_tile_last_o, pair_packet_last_o, pair_addr_o})
  );

  assign pair_valid_o = release_pair;
  assign pair_both_o  = queue_both;

  wire [2*ActAw-1:0] res_addr = {(wrap1 ? res_next_row : res_row) + x1_wide[ActAw-1:0], res_row + x_wide[ActAw-1:0]};
  genvar l;
  generate
    for (l = 0; l < 2; l = l + 1) begin : g_lane
      vla_read_lane #(.Aw(ActAw), .WordBits(WordBits), .Depth(8)) u_lane (
        .clk_i(clk_i), .rst_i(rst_i),
        .addr_valid_i(step && residual && (l == 0 || both)), .addr_ready_o(lane_ready[l]),
        .addr_i(res_addr[l*ActAw +: ActAw]),
        .rd_valid_o(res_rd_valid_o[l]), .rd_addr_o(res_rd_addr_o[l*ActAw +: ActAw]), .rd_grant_i(res_rd_grant_i[l]),
        .rd_word_i(res_rd_word_i[l]), .rd_data_i(res_rd_data_i[l*WordBits +: WordBits]),
        .word_valid_o(word_valid[l]), .word_ready_i(release_pair && residual && (l == 0 || queue_both)),
        .word_o(pair_residual_o[l*WordBits +: WordBits])
      );
    end
  endgenerate

endmodule
`default_nettype wire
