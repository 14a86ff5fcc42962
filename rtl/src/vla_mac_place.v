// Where results go: the words of groups of pixels in the order in which they are written, with what is read for them.
// Does: give one entry per word of a group's pixels: an int8 result, or the low and the high plane of an int16 one and,
// in the last out block of a batch, the words of their maximum. Read the residual beforehand, or the pixels' records,
// over a lane for each pixel; a residual that is one pixel for all, once per tile.
// Does not: wait for results, or overrun the queues behind it: it holds Credits, spends one per entry and
// gets it back with freed_i.
// Latency: start_i -> first entry Group + 3 cycles, with words to read 6 more, then one entry per cycle while all words
// are granted.
// Handshake: group_valid_o for one cycle per entry; there is always room.
`include "vla_isa.vh"
`default_nettype none
module vla_mac_place #(
  parameter Pixels  = 8,
  parameter Block   = 16,
  parameter ActAw   = 17,
  parameter Group   = 2,   // pixels of a group
  parameter Credits = 32
) (
  input  wire                     clk_i,
  input  wire                     rst_i,
  // the running packet
  input  wire                     start_i,
  input  wire [511:0]             conv_i,
  input  wire [511:0]             gemm_i,
  input  wire [11:0]              out_blocks_i,
  input  wire [9:0]               batches_i,
  input  wire [ActAw-1:0]         out_batch_stride_i,
  input  wire [ActAw-1:0]         out_slot_row_i,
  input  wire [ActAw-1:0]         out_ring_span_i,
  input  wire [ActAw-1:0]         res_slot_row_i,
  input  wire [ActAw-1:0]         res_ring_span_i,
  // residual lanes of the activation memory
  output wire [Group-1:0]         res_rd_valid_o,
  output wire [Group*ActAw-1:0]   res_rd_addr_o,
  input  wire [Group-1:0]         res_rd_grant_i,
  input  wire [Group-1:0]         res_rd_word_i,
  input  wire [Group*8*Block-1:0] res_rd_data_i,
  // entries
  input  wire                     freed_i,
  output wire                     group_valid_o,
  output wire [1:0]               group_kind_o,         // 0 int8 or low plane, 1 high plane, 2 and 3 words of maxima
  output wire                     group_words_o,        // group_words is there
  output wire [Group-1:0]         group_live_o,         // its pixels that exist
  output wire                     group_strip_last_o,   // last live group of its strip
  output wire                     group_tile_last_o,
  output wire                     group_packet_last_o,
  output wire                     group_block_first_o,  // its tile is the first of a batch
  output wire                     group_block_last_o,
  output wire [5*Group-1:0]       group_columns_o,      // of each pixel: channels of the block that are not masked
  output wire [Group*ActAw-1:0]   group_addr_o,
  output wire [Group*8*Block-1:0] group_read_o          // what was read: residual words or records
);

  localparam CreditBits = $clog2(Credits) + 1;
  localparam WordBits   = 8 * Block;
  localparam ItemWords  = 16 / Block;          // of a record or a maximum
  localparam BlockAw    = $clog2(Block);
  localparam EntryBits  = 2 + 1 + Group + Group + 3 + 2 + 5 * Group + Group * ActAw;
  localparam [1:0] ItemLast = ItemWords == 1 ? 2'd2 : 2'd3;

  wire unused_packets = &{1'b0, conv_i, gemm_i};
  wire wide    = gemm_i[`VLA_GEMM_OUT_BYTES] == `VLA_GEMM_OUT_BYTES_INT16;
  wire maxima  = gemm_i[`VLA_GEMM_ROW_MAX];
  wire records = gemm_i[`VLA_GEMM_SCALE_BY] == `VLA_GEMM_SCALE_BY_ROW;
  wire shared  = gemm_i[`VLA_GEMM_RES_KIND] == `VLA_GEMM_RES_KIND_ROW;  // the residual is one pixel for all
  wire tensor  = conv_i[`VLA_CONV_RESIDUAL_ENABLE] || gemm_i[`VLA_GEMM_RES_KIND] == `VLA_GEMM_RES_KIND_TENSOR;

  // ---- the walk, and the entries of a group ----
  wire                walk_valid, may_go, strip_last, tile_first, tile_last, packet_last, block_first, block_last;
  wire                pixel, pixel_wrap, load, load_first, load_batch;
  wire [Group-1:0]    live, wrap;
  wire [14*Group-1:0] x;
  reg  [CreditBits-1:0] credits_q;
  reg  [1:0]          kind_q;
  wire [1:0]          kind_end = maxima && block_last ? ItemLast : {1'b0, wide};
  wire                go       = walk_valid && credits_q != 0 && may_go;
  wire                step     = go && kind_q == kind_end;

  always @(posedge clk_i) begin
    if (rst_i) begin
      credits_q <= Credits;
      kind_q    <= 2'd0;
    end else begin
      credits_q <= credits_q + {{CreditBits-1{1'b0}}, freed_i} - {{CreditBits-1{1'b0}}, go};
      if (go) kind_q <= step ? 2'd0 : kind_q + 2'd1;
    end
  end

  vla_mac_place_walk #(.Pixels(Pixels), .Group(Group)) u_walk (
    .clk_i(clk_i), .rst_i(rst_i),
    .out_w_i(conv_i[`VLA_CONV_OUT_W]), .out_h_i(conv_i[`VLA_CONV_OUT_H]),
    .out_blocks_i(out_blocks_i), .batches_i(batches_i), .start_i(start_i),
    .valid_o(walk_valid), .step_i(step), .live_o(live), .x_o(x),
    .strip_last_o(strip_last), .tile_first_o(tile_first), .tile_last_o(tile_last),
    .block_first_o(block_first), .block_last_o(block_last), .packet_last_o(packet_last),
    .pixel_o(pixel), .pixel_wrap_o(pixel_wrap), .load_o(load), .load_first_o(load_first), .load_batch_o(load_batch),
    .wrap_o(wrap)
  );

  // ---- regions; a block of int16 has two planes ----
  wire [Group*ActAw-1:0] out_row, res_row;
  wire [ActAw+13:0] out_pitch = {{ActAw{1'b0}}, conv_i[`VLA_CONV_OUT_PITCH]};
  wire [ActAw+13:0] res_pitch = {{ActAw{1'b0}}, conv_i[`VLA_CONV_RES_PITCH]};
  wire              unused_high = &{1'b0, out_pitch[ActAw+13:ActAw], res_pitch[ActAw+13:ActAw]};

  vla_mac_region #(.ActAw(ActAw), .Group(Group)) u_out (
    .clk_i(clk_i),
    .base_i(conv_i[`VLA_CONV_OUT_BASE_LSB +: ActAw]), .row_stride_i(conv_i[`VLA_CONV_OUT_ROW_STRIDE_LSB +: ActAw]),
    .pitch_i(wide ? {out_pitch[ActAw-2:0], 1'b0} : out_pitch[ActAw-1:0]),
    .ring_i(conv_i[`VLA_CONV_OUT_RING]), .slot_i(conv_i[`VLA_CONV_OUT_SLOT]),
    .slot_row_i(out_slot_row_i), .ring_span_i(out_ring_span_i), .batch_stride_i(out_batch_stride_i),
    .start_i(start_i), .pixel_i(pixel), .pixel_wrap_i(pixel_wrap), .load_i(load), .load_batch_i(load_batch),
    .step_i(step), .wrap_i(wrap), .row_o(out_row)
  );

  vla_mac_region #(.ActAw(ActAw), .Group(Group)) u_res (
    .clk_i(clk_i),
    .base_i(conv_i[`VLA_CONV_RES_BASE_LSB +: ActAw]), .row_stride_i(conv_i[`VLA_CONV_RES_ROW_STRIDE_LSB +: ActAw]),
    .pitch_i(wide ? {res_pitch[ActAw-2:0], 1'b0} : res_pitch[ActAw-1:0]),
    .ring_i(conv_i[`VLA_CONV_RES_RING]), .slot_i(conv_i[`VLA_CONV_RES_SLOT]),
    .slot_row_i(res_slot_row_i), .ring_span_i(res_ring_span_i),
    .batch_stride_i(gemm_i[`VLA_GEMM_RES_BATCH_STRIDE_LSB +: ActAw]),
    .start_i(start_i), .pixel_i(pixel), .pixel_wrap_i(pixel_wrap), .load_i(load), .load_batch_i(load_batch),
    .step_i(step), .wrap_i(wrap), .row_o(res_row)
  );

  // ---- records or maxima: 16 bytes a pixel, from the start again in every block of a batch ----
  localparam GroupWordsInt = Group * ItemWords;
  localparam [4:0] GroupWords = GroupWordsInt[4:0];
  reg [ActAw-1:0] item_q, item_base_q, item_next_q;   // this group's, this batch's, the next batch's
  always @(posedge clk_i) begin
    if (start_i) item_next_q <= gemm_i[`VLA_GEMM_ROW_BASE_LSB +: ActAw];
    else if (load && load_first) item_next_q <= item_next_q + gemm_i[`VLA_GEMM_ROW_BATCH_STRIDE_LSB +: ActAw];
    if (load && load_first) item_base_q <= item_next_q;
    if (load) item_q <= load_first ? item_next_q : item_base_q;
    else if (step) item_q <= item_q + {{ActAw-5{1'b0}}, GroupWords};
  end

  // ---- columns below the limit: of pixel 0 of a row, less those of the blocks before ----
  reg [16:0] columns_q;  // signed
  always @(posedge clk_i) begin
    if (load) columns_q <= load_first ? {3'd0, gemm_i[`VLA_GEMM_LIMIT]} : columns_q - Block[16:0];
  end

  // ---- entries, and the words for them on the way ----
  wire                  queue_ready, queue_valid;
  wire [Group-1:0]      lane_ready, word_valid, ask, asked;
  wire [Group*ActAw-1:0] out_addr;
  wire [5*Group-1:0]    columns;
  wire                  words   = records ? kind_q == 2'd0 : !kind_q[1] && (tensor || shared);
  wire                  release_group = queue_valid && (word_valid | ~asked) == {Group{1'b1}};
  assign may_go        = queue_ready && lane_ready == {Group{1'b1}};
  assign group_valid_o = release_group;

  vla_fifo #(.Width(EntryBits), .Depth(16)) u_groups (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(go), .in_ready_o(queue_ready),
    .in_data_i({kind_q, words, ask, live, strip_last, tile_last, packet_last && step, block_first, block_last,
                columns, out_addr}),
    .out_valid_o(queue_valid), .out_ready_i(release_group),
    .out_data_o({group_kind_o, group_words_o, asked, group_live_o, group_strip_last_o, group_tile_last_o,
                 group_packet_last_o, group_block_first_o, group_block_last_o, group_columns_o, group_addr_o})
  );

  // The pixel for all, low and high plane, as the tile's first group brought it.
  reg [2*WordBits-1:0]  shared_q;
  wire [Group*WordBits-1:0] word;
  wire [WordBits-1:0]   shared_word = asked[0] ? word[WordBits-1:0]
                                    : group_kind_o[0] ? shared_q[2*WordBits-1:WordBits] : shared_q[WordBits-1:0];
  assign group_read_o = shared ? {Group{shared_word}} : word;
  always @(posedge clk_i) begin
    if (release_group && asked[0]) begin
      if (group_kind_o[0]) shared_q[2*WordBits-1:WordBits] <= word[WordBits-1:0];
      else shared_q[WordBits-1:0] <= word[WordBits-1:0];
    end
  end

  genvar l;
  generate
    for (l = 0; l < Group; l = l + 1) begin : g_lane
      localparam ItemInt = l * ItemWords;
      localparam [4:0] Item = ItemInt[4:0];
      wire [ActAw+13:0] column = {{ActAw{1'b0}}, x[14*l +: 14]};
      wire              unused_column = &{1'b0, column[ActAw+13:ActAw]};
      wire [ActAw-1:0]  item     = item_q + {{ActAw-5{1'b0}}, Item};
      wire [ActAw-1:0]  out_low  = out_row[l*ActAw +: ActAw] + column[ActAw-1:0];
      wire [ActAw-1:0]  res_low  = res_row[l*ActAw +: ActAw] + column[ActAw-1:0];
      reg  [ActAw-1:0]  out_q, res_q;   // of entries behind a group's first one
      always @(posedge clk_i) begin
        if (go) begin
          out_q <= kind_q == 2'd0 ? out_low + out_pitch[ActAw-1:0] : kind_q == 2'd1 ? item : out_q + 1'b1;
          res_q <= res_low + res_pitch[ActAw-1:0];
        end
      end
      assign out_addr[l*ActAw +: ActAw] = kind_q == 2'd0 ? out_low : out_q;
      wire [ActAw-1:0] res_addr = records ? item : kind_q == 2'd0 ? res_low : res_q;
      assign ask[l] = words && live[l] && (!shared || (tile_first && l == 0));

      wire [16:0] below = columns_q + (gemm_i[`VLA_GEMM_LIMIT_STEP] ? {3'd0, x[14*l +: 14]} : 17'd0);
      assign columns[5*l +: 5] = !maxima || (!below[16] && below[15:BlockAw] != 0) ? Block[4:0]
                               : below[16] ? 5'd0 : {{5-BlockAw{1'b0}}, below[BlockAw-1:0]};

      vla_read_lane #(.Aw(ActAw), .WordBits(WordBits), .Depth(8)) u_lane (
        .clk_i(clk_i), .rst_i(rst_i),
        .addr_valid_i(go && ask[l]), .addr_ready_o(lane_ready[l]), .addr_i(res_addr),
        .rd_valid_o(res_rd_valid_o[l]), .rd_addr_o(res_rd_addr_o[l*ActAw +: ActAw]), .rd_grant_i(res_rd_grant_i[l]),
        .rd_word_i(res_rd_word_i[l]), .rd_data_i(res_rd_data_i[l*WordBits +: WordBits]),
        .word_valid_o(word_valid[l]), .word_ready_i(release_group && asked[l]),
        .word_o(word[l*WordBits +: WordBits])
      );
    end
  endgenerate

endmodule
`default_nettype wire
