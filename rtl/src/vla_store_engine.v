// STORE queue: COPY act_to_data, GATHER scatter_data.
// Does: walk the runs of a COPY, form bursts of at most 1 KB (also across runs on neighbouring lines) and deal
// them to the out-masters so that both get the same number of beats (all to the first if the destination may
// overlap itself); start the next packet while the responses of the current one are due, except for segments
// that may touch lines the current packet writes, which wait for its end. A row of a GATHER is a run whose words lie
// apart in the scratchpad, all by the first out-master; a wrong item ends it with index_error_o, and nothing behind it is
// done.
// Does not: check a packet (vla_packet_check did), or order anything against other queues (semaphores do).
// Latency: 7 cycles from packet to its first write address; done_o at the last write response. Full rate is
// one beat per cycle and out-master.
// Handshake: see "Queue to engine" and "Activation memory lanes" in rtl/README.md.
`include "vla_isa.vh"
`default_nettype none
module vla_store_engine #(
  parameter Block      = 16,      // B, bytes of an activation word
  parameter ActWords   = 131072,  // words of the activation memory
  parameter OutMasters = 2        // 1 or 2
) (
  input  wire                                               clk_i,
  input  wire                                               rst_i,
  input  wire [64*`VLA_DATA_CHANNELS-1:0]                   data_bases_i,
  // packet
  input  wire                                               packet_valid_i,
  output wire                                               packet_ready_o,
  input  wire [511:0]                                       packet_i,
  output wire                                               done_o,
  output wire                                               active_o,
  // AXI write masters
  output wire [OutMasters-1:0]                              aw_valid_o,
  input  wire [OutMasters-1:0]                              aw_ready_i,
  output wire [OutMasters*64-1:0]                           aw_addr_o,
  output wire [OutMasters*8-1:0]                            aw_len_o,
  output wire [OutMasters-1:0]                              w_valid_o,
  input  wire [OutMasters-1:0]                              w_ready_i,
  output wire [OutMasters*256-1:0]                          w_data_o,
  output wire [OutMasters*32-1:0]                           w_strb_o,
  output wire [OutMasters-1:0]                              w_last_o,
  input  wire [OutMasters-1:0]                              b_valid_i,
  output wire [OutMasters-1:0]                              b_ready_o,
  input  wire [OutMasters-1:0]                              b_error_i,
  output wire                                               axi_error_o,
  output wire                                               index_error_o,
  // activation memory
  output wire [OutMasters*(32/Block)-1:0]                   rd_valid_o,
  output wire [OutMasters*(32/Block)*$clog2(ActWords)-1:0]  rd_addr_o,
  input  wire [OutMasters*(32/Block)-1:0]                   rd_grant_i,
  input  wire [OutMasters*(32/Block)-1:0]                   rd_word_i,
  input  wire [OutMasters*256-1:0]                          rd_data_i
);

  localparam BeatWords = 32 / Block;
  localparam ActAw     = $clog2(ActWords);
  localparam LineWords = 64 / Block;
  localparam LineLog   = $clog2(LineWords);
  localparam SegLines  = 16;
  localparam SegBits   = $clog2(SegLines * LineWords) + 1;
  localparam [ActAw-1:0] One = 1;

  wire [15:0] n0     = packet_i[`VLA_COPY_N0];
  wire [11:0] n1     = packet_i[`VLA_COPY_N1];
  wire [11:0] n2     = packet_i[`VLA_COPY_N2];
  wire [11:0] n3     = packet_i[`VLA_COPY_N3];
  wire        gather = packet_i[7:0] == `VLA_OP_GATHER;
  wire [31:0] base   = gather ? packet_i[`VLA_GATHER_TABLE_BASE] : packet_i[`VLA_COPY_DST];
  wire        accept = packet_valid_i && packet_ready_o;
  wire        drop;  // what comes in
  // of the packet being walked
  reg  [15:0] units_q;  // words of a run
  reg         gather_q;
  always @(posedge clk_i) begin
    if (accept) units_q  <= gather ? {4'd0, packet_i[`VLA_GATHER_WORDS]} : n0;
    if (accept) gather_q <= gather;
  end

  // Distances of the words of a beat, by tag: those of the words of a row are its pitch.
  wire                         walk_tag, head_tag;
  wire                         accept_tag = !walk_tag;
  wire [19:0]                  pitch_all  = {6'd0, packet_i[`VLA_GATHER_ACT_PITCH]};
  wire [2*ActAw-1:0]           steps;
  wire [2*BeatWords*ActAw-1:0] offsets;
  genvar t;
  generate
    for (t = 0; t < 2; t = t + 1) begin : g_tag
      vla_lane_offsets #(.Aw(ActAw), .Lanes(BeatWords)) u_offsets (
        .clk_i(clk_i), .load_i(accept && accept_tag == t), .pitch_i(gather ? pitch_all[ActAw-1:0] : One),
        .offsets_o(offsets[t*BeatWords*ActAw +: BeatWords*ActAw]), .step_o(steps[t*ActAw +: ActAw])
      );
    end
  endgenerate

  // Rows of a GATHER; no packet of this queue writes their items.
  wire                  rows_busy, rows_failed, row_valid;
  wire [31:0]           row_table;
  wire [ActAw-1:0]      row_act;
  wire [OutMasters-1:0] item_ready, item_word_valid;
  wire                  item_valid;
  wire [ActAw-1:0]      item_addr;
  wire [32*OutMasters-1:0] item_word_data;
  vla_gather_rows #(.Block(Block), .ActAw(ActAw)) u_rows (
    .clk_i(clk_i), .rst_i(rst_i), .start_i(accept && gather && !drop), .packet_i(packet_i), .may_read_i(1'b1),
    .busy_o(rows_busy), .failed_o(rows_failed),
    .item_valid_o(item_valid), .item_ready_i(item_ready[0]), .item_addr_o(item_addr),
    .item_word_valid_i(item_word_valid[0]), .item_word_data_i(item_word_data[31:0]),
    .row_valid_o(row_valid), .row_ready_i(run_ready && gather_q), .row_table_o(row_table), .row_act_o(row_act)
  );

  // Runs, cut into segments.
  wire             walk_busy, cut_busy, walk_valid, run_ready;
  wire [ActAw-1:0] walk_src;
  wire [31:0]      walk_dst;
  wire             run_valid = gather_q ? row_valid : walk_valid;
  wire [ActAw-1:0] run_src   = gather_q ? row_act : walk_src;
  wire [31:0]      run_dst   = gather_q ? row_table : walk_dst;
  wire [11:0]      unused_i1, unused_i2;
  wire             unused_row_end;
  vla_run_walker #(.SrcAw(ActAw), .DstAw(32)) u_walker (
    .clk_i(clk_i), .rst_i(rst_i), .start_i(accept && !gather && !drop),
    .empty_i(n0 == 0 || n1 == 0 || n2 == 0 || n3 == 0), .n1_i(n1), .n2_i(n2), .n3_i(n3),
    .src_base_i(packet_i[`VLA_COPY_SRC_LSB +: ActAw]),
    .src_stride1_i(packet_i[`VLA_COPY_SRC_STRIDE1_LSB +: ActAw]),
    .src_stride2_i(packet_i[`VLA_COPY_SRC_STRIDE2_LSB +: ActAw]),
    .src_stride3_i(packet_i[`VLA_COPY_SRC_STRIDE3_LSB +: ActAw]),
    .src_ring_i(packet_i[`VLA_COPY_SRC_RING]), .src_slot_i(packet_i[`VLA_COPY_SRC_SLOT]),
    .dst_base_i(packet_i[`VLA_COPY_DST]),
    .dst_stride1_i({10'd0, packet_i[`VLA_COPY_DST_STRIDE1]}),
    .dst_stride2_i({10'd0, packet_i[`VLA_COPY_DST_STRIDE2]}),
    .dst_stride3_i({10'd0, packet_i[`VLA_COPY_DST_STRIDE3]}),
    .dst_ring_i(11'd0), .dst_slot_i(11'd0),
    .busy_o(walk_busy), .run_valid_o(walk_valid), .run_ready_i(run_ready && !gather_q),
    .run_src_o(walk_src), .run_dst_o(walk_dst),
    .run_i1_o(unused_i1), .run_i2_o(unused_i2), .run_row_end_o(unused_row_end)
  );

  wire               seg_valid, seg_ready, seg_first;
  wire               seg_goes_on = gather_q && !seg_first;
  wire [31:0]        seg_line;
  wire [ActAw-1:0]   seg_word;
  wire [SegBits-1:0] seg_words;
  vla_segmenter #(
    .LineAw(32), .WordAw(ActAw), .RunBits(16), .LineUnits(LineWords), .SegLines(SegLines),
    .GroupUnits(BeatWords)
  ) u_segmenter (
    .clk_i(clk_i), .rst_i(rst_i), .local_i(1'b0),
    .run_valid_i(run_valid), .run_ready_o(run_ready),
    .run_line_i(run_dst), .run_word_i(run_src), .run_units_i(units_q), .busy_o(cut_busy),
    .seg_valid_o(seg_valid), .seg_ready_i(seg_ready),
    .seg_line_o(seg_line), .seg_word_o(seg_word), .seg_units_o(seg_words), .seg_first_o(seg_first)
  );

  // The lines a packet writes lie from its first line to the highest one it came to. While the packet before
  // is not done, segments inside its lines wait: two masters would not keep the order.
  wire [SegBits-1:0] seg_whole = seg_words + {{(SegBits - LineLog){1'b0}}, {LineLog{1'b1}}};
  wire [31:0] seg_end = seg_line + {{(32 + LineLog - SegBits){1'b0}}, seg_whole[SegBits-1:LineLog]};
  reg  [31:0] low_q, high_q;            // of the packet being walked: first line, one past the highest
  reg  [31:0] before_low_q, before_high_q;  // of the packet before it
  wire        clash    = head_tag != walk_tag && seg_line < before_high_q && seg_end > before_low_q;
  wire        seg_fire = seg_valid && seg_ready;
  always @(posedge clk_i) begin
    if (accept) begin
      low_q         <= base;
      high_q        <= base;
      before_low_q  <= low_q;
      before_high_q <= high_q;
    end else if (seg_fire && seg_end > high_q) begin
      high_q <= seg_end;
    end
  end

  wire                  tracker_ready, in_order, deal_busy, deal_ready, burst_fire;
  wire [OutMasters-1:0] mover_seg_valid, mover_seg_ready, mover_burst_valid, mover_burst_ready;
  wire [OutMasters-1:0] mover_retire, mover_retire_tag, mover_error;
  wire [31:0]           burst_line;
  wire [7:0]            burst_len;
  assign seg_ready = !clash && deal_ready;

  vla_burst_dealer #(
    .Block(Block), .SegLines(SegLines), .SegBits(SegBits), .Masters(OutMasters)
  ) u_dealer (
    .clk_i(clk_i), .rst_i(rst_i), .in_order_i(in_order || gather_q),
    .seg_valid_i(seg_valid && !clash), .seg_ready_o(deal_ready), .seg_line_i(seg_line),
    .seg_words_i(seg_words), .busy_o(deal_busy),
    .piece_valid_o(mover_seg_valid), .piece_ready_i(mover_seg_ready),
    .burst_valid_o(mover_burst_valid), .burst_ready_i(mover_burst_ready),
    .burst_line_o(burst_line), .burst_len_o(burst_len), .burst_fire_o(burst_fire)
  );

  wire [16:0] n0_whole = {1'b0, n0} + {{(17 - LineLog){1'b0}}, {LineLog{1'b1}}};
  vla_copy_order #(.Units(32'hFFFF_FFFF)) u_order (
    .clk_i(clk_i), .load_i(accept), .n0_i({{(LineLog - 1){1'b0}}, n0_whole[16:LineLog]}),
    .n1_i(n1), .n2_i(n2), .n3_i(n3),
    .base_i(packet_i[`VLA_COPY_DST]), .stride1_i(packet_i[`VLA_COPY_DST_STRIDE1]),
    .stride2_i(packet_i[`VLA_COPY_DST_STRIDE2]), .stride3_i(packet_i[`VLA_COPY_DST_STRIDE3]),
    .ring_i(11'd0), .in_order_o(in_order)
  );

  vla_copy_tracker #(.Movers(OutMasters), .CountBits(8)) u_tracker (
    .clk_i(clk_i), .rst_i(rst_i),
    .accept_i(accept), .ready_o(tracker_ready),
    .walk_idle_i(!walk_busy && !rows_busy && !cut_busy && !deal_busy),
    .dealt_i({7'd0, burst_fire}), .settled_i(1'b1),
    .retire_i(mover_retire), .error_i(mover_error), .retire_tag_i(mover_retire_tag),
    .walk_tag_o(walk_tag), .head_tag_o(head_tag), .done_o(done_o), .error_o(axi_error_o), .active_o(active_o)
  );

  // Behind a wrong item no packet comes in until dispatch had time to stop. One that had its semaphores by then is on
  // offer in the first cycle behind that, and is done without doing anything.
  reg       bad_q, bad_tag_q;  // a packet met one
  reg [7:0] hold_q;            // and was done in the last cycles
  assign drop           = hold_q[7];
  assign index_error_o  = done_o && bad_q && bad_tag_q == head_tag;
  assign packet_ready_o = tracker_ready && !bad_q && hold_q[6:0] == 7'd0;
  always @(posedge clk_i) begin
    if (rst_i) bad_q <= 1'b0;
    else if (rows_failed) bad_q <= 1'b1;
    else if (index_error_o) bad_q <= 1'b0;
    if (rows_failed) bad_tag_q <= walk_tag;
    hold_q <= rst_i ? 8'd0 : {hold_q[6:0], index_error_o};
  end

  genvar m;
  generate
    for (m = 0; m < OutMasters; m = m + 1) begin : g_mover
      vla_store_mover #(.Block(Block), .ActAw(ActAw), .SegBits(SegBits)) u_mover (
        .clk_i(clk_i), .rst_i(rst_i), .data_bases_i(data_bases_i),
        .seg_valid_i(mover_seg_valid[m]), .seg_ready_o(mover_seg_ready[m]),
        .seg_word_i(seg_word), .seg_words_i(seg_words), .seg_goes_on_i(seg_goes_on), .seg_tag_i(walk_tag),
        .offsets_i(offsets), .steps_i(steps),
        .burst_valid_i(mover_burst_valid[m]), .burst_ready_o(mover_burst_ready[m]),
        .burst_line_i(burst_line), .burst_len_i(burst_len), .burst_tag_i(walk_tag),
        .retire_o(mover_retire[m]), .retire_tag_o(mover_retire_tag[m]),
        .aw_valid_o(aw_valid_o[m]), .aw_ready_i(aw_ready_i[m]),
        .aw_addr_o(aw_addr_o[m*64 +: 64]), .aw_len_o(aw_len_o[m*8 +: 8]),
        .w_valid_o(w_valid_o[m]), .w_ready_i(w_ready_i[m]), .w_data_o(w_data_o[m*256 +: 256]),
        .w_strb_o(w_strb_o[m*32 +: 32]), .w_last_o(w_last_o[m]),
        .b_valid_i(b_valid_i[m]), .b_ready_o(b_ready_o[m]), .b_error_i(b_error_i[m]),
        .error_o(mover_error[m]),
        .item_valid_i(item_valid && m == 0), .item_ready_o(item_ready[m]), .item_addr_i(item_addr),
        .item_word_valid_o(item_word_valid[m]), .item_word_data_o(item_word_data[32*m +: 32]),
        .rd_valid_o(rd_valid_o[m*BeatWords +: BeatWords]),
        .rd_addr_o(rd_addr_o[m*BeatWords*ActAw +: BeatWords*ActAw]),
        .rd_grant_i(rd_grant_i[m*BeatWords +: BeatWords]), .rd_word_i(rd_word_i[m*BeatWords +: BeatWords]),
        .rd_data_i(rd_data_i[m*256 +: 256])
      );
    end
  endgenerate

  wire unused_items = ^{item_ready, item_word_valid, item_word_data};  // of the first master only
  wire unused_packet = ^{packet_i, pitch_all, seg_whole[LineLog-1:0], n0_whole[LineLog-1:0]};

endmodule
`default_nettype wire
