// STORE queue: COPY act_to_data.
// Does: walk the runs of a COPY, form bursts of at most 1 KB (also across runs on neighbouring lines) and deal
// them to the out-masters so that both get the same number of beats (all to the first if the destination may
// overlap itself); start the next packet while the responses of the current one are due, except for segments
// that may touch lines the current packet writes, which wait for its end.
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

  wire [15:0] n0     = packet_i[`VLA_COPY_N0];
  wire [11:0] n1     = packet_i[`VLA_COPY_N1];
  wire [11:0] n2     = packet_i[`VLA_COPY_N2];
  wire [11:0] n3     = packet_i[`VLA_COPY_N3];
  wire        accept = packet_valid_i && packet_ready_o;
  reg  [15:0] n0_q;  // of the packet being walked
  always @(posedge clk_i) begin
    if (accept) n0_q <= n0;
  end

  // Runs, cut into segments.
  wire             walk_busy, cut_busy, run_valid, run_ready;
  wire [ActAw-1:0] run_src;
  wire [31:0]      run_dst;
  wire [11:0]      unused_i1, unused_i2;
  wire             unused_row_end;
  vla_run_walker #(.SrcAw(ActAw), .DstAw(32)) u_walker (
    .clk_i(clk_i), .rst_i(rst_i), .start_i(accept),
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
    .busy_o(walk_busy), .run_valid_o(run_valid), .run_ready_i(run_ready),
    .run_src_o(run_src), .run_dst_o(run_dst),
    .run_i1_o(unused_i1), .run_i2_o(unused_i2), .run_row_end_o(unused_row_end)
  );

  wire               seg_valid, seg_ready;
  wire [31:0]        seg_line;
  wire [ActAw-1:0]   seg_word;
  wire [SegBits-1:0] seg_words;
  vla_segmenter #(
    .LineAw(32), .WordAw(ActAw), .RunBits(16), .LineUnits(LineWords), .SegLines(SegLines),
    .GroupUnits(BeatWords)
  ) u_segmenter (
    .clk_i(clk_i), .rst_i(rst_i), .local_i(1'b0),
    .run_valid_i(run_valid), .run_ready_o(run_ready),
    .run_line_i(run_dst), .run_word_i(run_src), .run_units_i(n0_q), .busy_o(cut_busy),
    .seg_valid_o(seg_valid), .seg_ready_i(seg_ready),
    .seg_line_o(seg_line), .seg_word_o(seg_word), .seg_units_o(seg_words)
  );

  // The lines a packet writes lie from its first line to the highest one it came to. While the packet before
  // is not done, segments inside its lines wait: two masters would not keep the order.
  wire        walk_tag, head_tag;
  wire [SegBits-1:0] seg_whole = seg_words + {{(SegBits - LineLog){1'b0}}, {LineLog{1'b1}}};
  wire [31:0] seg_end = seg_line + {{(32 + LineLog - SegBits){1'b0}}, seg_whole[SegBits-1:LineLog]};
  reg  [31:0] low_q, high_q;            // of the packet being walked: first line, one past the highest
  reg  [31:0] before_low_q, before_high_q;  // of the packet before it
  wire        clash    = head_tag != walk_tag && seg_line < before_high_q && seg_end > before_low_q;
  wire        seg_fire = seg_valid && seg_ready;
  always @(posedge clk_i) begin
    if (accept) begin
      low_q         <= packet_i[`VLA_COPY_DST];
      high_q        <= packet_i[`VLA_COPY_DST];
      before_low_q  <= low_q;
      before_high_q <= high_q;
    end else if (seg_fire && seg_end > high_q) begin
      high_q <= seg_end;
    end
  end

  wire                  in_order, deal_busy, deal_ready, burst_fire;
  wire [OutMasters-1:0] mover_seg_valid, mover_seg_ready, mover_burst_valid, mover_burst_ready;
  wire [OutMasters-1:0] mover_retire, mover_retire_tag, mover_error;
  wire [31:0]           burst_line;
  wire [7:0]            burst_len;
  assign seg_ready = !clash && deal_ready;

  vla_burst_dealer #(
    .Block(Block), .SegLines(SegLines), .SegBits(SegBits), .Masters(OutMasters)
  ) u_dealer (
    .clk_i(clk_i), .rst_i(rst_i), .in_order_i(in_order),
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
    .accept_i(accept), .ready_o(packet_ready_o), .walk_idle_i(!walk_busy && !cut_busy && !deal_busy),
    .dealt_i({7'd0, burst_fire}), .settled_i(1'b1),
    .retire_i(mover_retire), .error_i(mover_error), .retire_tag_i(mover_retire_tag),
    .walk_tag_o(walk_tag), .head_tag_o(head_tag), .done_o(done_o), .error_o(axi_error_o), .active_o(active_o)
  );

  genvar m;
  generate
    for (m = 0; m < OutMasters; m = m + 1) begin : g_mover
      vla_store_mover #(.Block(Block), .ActAw(ActAw), .SegBits(SegBits)) u_mover (
        .clk_i(clk_i), .rst_i(rst_i), .data_bases_i(data_bases_i),
        .seg_valid_i(mover_seg_valid[m]), .seg_ready_o(mover_seg_ready[m]),
        .seg_word_i(seg_word), .seg_words_i(seg_words),
        .burst_valid_i(mover_burst_valid[m]), .burst_ready_o(mover_burst_ready[m]),
        .burst_line_i(burst_line), .burst_len_i(burst_len), .burst_tag_i(walk_tag),
        .retire_o(mover_retire[m]), .retire_tag_o(mover_retire_tag[m]),
        .aw_valid_o(aw_valid_o[m]), .aw_ready_i(aw_ready_i[m]),
        .aw_addr_o(aw_addr_o[m*64 +: 64]), .aw_len_o(aw_len_o[m*8 +: 8]),
        .w_valid_o(w_valid_o[m]), .w_ready_i(w_ready_i[m]), .w_data_o(w_data_o[m*256 +: 256]),
        .w_strb_o(w_strb_o[m*32 +: 32]), .w_last_o(w_last_o[m]),
        .b_valid_i(b_valid_i[m]), .b_ready_o(b_ready_o[m]), .b_error_i(b_error_i[m]),
        .error_o(mover_error[m]),
        .rd_valid_o(rd_valid_o[m*BeatWords +: BeatWords]),
        .rd_addr_o(rd_addr_o[m*BeatWords*ActAw +: BeatWords*ActAw]),
        .rd_grant_i(rd_grant_i[m*BeatWords +: BeatWords]), .rd_word_i(rd_word_i[m*BeatWords +: BeatWords]),
        .rd_data_i(rd_data_i[m*256 +: 256])
      );
    end
  endgenerate

  wire unused_packet = ^{packet_i, seg_whole[LineLog-1:0], n0_whole[LineLog-1:0]};

endmodule
`default_nettype wire
