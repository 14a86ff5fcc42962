// LOAD queue: COPY data_to_act, act_to_act (also transposed) and fill_act; GATHER but for scatter_data.
// Does: walk the runs of a COPY, form bursts of at most 1 KB of those from the data space (also across runs
// on neighbouring lines) and deal them to the in-masters so that both get the same number of beats (all to the
// first if the destination may overlap itself); ask for the next packet's bursts while the current one still
// receives data; write packets strictly in order. A row of a GATHER is a run whose words lie apart on one side, all by
// the first in-master; a wrong item ends it with index_error_o, and nothing behind it is done.
// Does not: check a packet (vla_packet_check did), or order anything against other queues (semaphores do).
// Latency: 7 cycles from packet to its first read address. Full rate is one beat per cycle and in-master,
// LoadLanes words per cycle on chip.
// Handshake: see "Queue to engine" and "Activation memory lanes" in rtl/README.md.
`include "vla_isa.vh"
`default_nettype none
module vla_data_loader #(
  parameter Block     = 16,      // B, bytes of an activation word
  parameter ActWords  = 131072,  // words of the activation memory
  parameter InMasters = 2        // 1 or 2
) (
  input  wire                                                  clk_i,
  input  wire                                                  rst_i,
  input  wire [64*`VLA_DATA_CHANNELS-1:0] data_bases_i,
  // packet
  input  wire                                                  packet_valid_i,
  output wire                                                  packet_ready_o,
  input  wire [511:0]                                          packet_i,
  output wire                                                  done_o,
  output wire                                                  active_o,
  // read clients, one per in-master
  output wire [InMasters-1:0]                                  ar_valid_o,
  input  wire [InMasters-1:0]                                  ar_ready_i,
  output wire [InMasters*64-1:0]                               ar_addr_o,
  output wire [InMasters*8-1:0]                                ar_len_o,
  input  wire [InMasters-1:0]                                  r_valid_i,
  output wire [InMasters-1:0]                                  r_ready_o,
  input  wire [InMasters*256-1:0]                              r_data_i,
  input  wire [InMasters-1:0]                                  r_last_i,
  input  wire [InMasters-1:0]                                  r_error_i,
  output wire                                                  axi_error_o,
  output wire                                                  index_error_o,
  // activation memory: groups to read, and their words
  output wire                                                  copy_valid_o,
  input  wire                                                  copy_ready_i,
  output wire [$clog2(ActWords)-1:0]                           copy_addr_o,
  output wire [InMasters*(32/Block)*$clog2(ActWords)-1:0]      copy_offsets_o,
  output wire [3:0]                                            copy_words_o,
  output wire                                                  copy_skip_o,  // read nothing, only pass the note
  output wire [4+$clog2(ActWords)-1:0]                         copy_note_o,
  input  wire                                                  copy_word_valid_i,
  output wire                                                  copy_word_ready_o,
  input  wire [InMasters*256-1:0]                              copy_word_data_i,
  input  wire [4+$clog2(ActWords)-1:0]                         copy_word_note_i,
  // activation memory: items, words of the same reader
  output wire                                                  item_valid_o,
  input  wire                                                  item_ready_i,
  output wire [$clog2(ActWords)-1:0]                           item_addr_o,
  input  wire                                                  item_word_valid_i,
  // activation memory: write lanes
  output wire [InMasters*(32/Block)-1:0]                       wr_valid_o,
  output wire [InMasters*(32/Block)*$clog2(ActWords)-1:0]      wr_addr_o,
  output wire [InMasters*256-1:0]                              wr_data_o,
  input  wire [InMasters*(32/Block)-1:0]                       wr_grant_i
);

  localparam BeatWords = 32 / Block;
  localparam Lanes     = InMasters * BeatWords;
  localparam ActAw     = $clog2(ActWords);
  localparam LineWords = 64 / Block;
  localparam SegLines  = 16;
  localparam SegBits   = $clog2(SegLines * LineWords) + 1;
  localparam BlockLog  = $clog2(Block);
  localparam RunBits   = 16 + BlockLog;
  localparam [ActAw-1:0] One = 1;

  wire [2:0]  move  = packet_i[`VLA_COPY_MOVE];
  wire [15:0] n0    = packet_i[`VLA_COPY_N0];
  wire [11:0] n1    = packet_i[`VLA_COPY_N1];
  wire [11:0] n2    = packet_i[`VLA_COPY_N2];
  wire [11:0] n3    = packet_i[`VLA_COPY_N3];
  wire        gather     = packet_i[7:0] == `VLA_OP_GATHER;
  wire        to_table   = packet_i[`VLA_GATHER_MOVE] == `VLA_GATHER_MOVE_SCATTER_ACT;
  wire        local_move = gather ? packet_i[`VLA_GATHER_MOVE] != `VLA_GATHER_MOVE_GATHER_DATA
                                  : move != `VLA_COPY_MOVE_DATA_TO_ACT;
  wire        squares    = !gather && packet_i[`VLA_COPY_UNIT] == `VLA_COPY_UNIT_TRANSPOSE;
  wire        accept     = packet_valid_i && packet_ready_o;
  wire        drop;  // what comes in

  // What stays known of a packet after its walk, by tag.
  wire        walk_tag, head_tag;
  reg  [1:0]  local_q, fill_q, transpose_q;
  reg  [7:0]  pad0_q, pad1_q;
  // of the packet being walked
  reg  [RunBits-1:0] units_q;  // words of a run
  reg                gather_q, to_table_q;
  wire        accept_tag = !walk_tag;
  always @(posedge clk_i) begin
    if (rst_i) begin
      local_q     <= 2'b00;
      fill_q      <= 2'b00;
      transpose_q <= 2'b00;
    end else if (accept) begin
      local_q[accept_tag]     <= local_move;
      fill_q[accept_tag]      <= !gather && move == `VLA_COPY_MOVE_FILL_ACT;
      transpose_q[accept_tag] <= squares;
    end
    if (accept) units_q <= gather ? {{(RunBits-12){1'b0}}, packet_i[`VLA_GATHER_WORDS]}
                           : squares ? {n0, {BlockLog{1'b0}}} : {{BlockLog{1'b0}}, n0};
    if (accept) gather_q   <= gather;
    if (accept) to_table_q <= to_table;
    if (accept && !accept_tag) pad0_q <= packet_i[`VLA_COPY_PAD];
    if (accept && accept_tag)  pad1_q <= packet_i[`VLA_COPY_PAD];
  end

  // Distances of words that are moved together, by tag: those of the words of a row are its pitch.
  wire [19:0]              pitch_all = {6'd0, packet_i[`VLA_GATHER_ACT_PITCH]};
  wire [ActAw-1:0]         pitch     = pitch_all[ActAw-1:0];
  wire [2*ActAw-1:0]       src_steps, dst_steps;
  wire [2*Lanes*ActAw-1:0] src_offsets, dst_offsets;
  genvar t;
  generate
    for (t = 0; t < 2; t = t + 1) begin : g_tag
      vla_lane_offsets #(.Aw(ActAw), .Lanes(Lanes)) u_src (
        .clk_i(clk_i), .load_i(accept && accept_tag == t), .pitch_i(gather && to_table ? pitch : One),
        .offsets_o(src_offsets[t*Lanes*ActAw +: Lanes*ActAw]), .step_o(src_steps[t*ActAw +: ActAw])
      );
      vla_lane_offsets #(.Aw(ActAw), .Lanes(Lanes)) u_dst (
        .clk_i(clk_i), .load_i(accept && accept_tag == t), .pitch_i(gather && !to_table ? pitch : One),
        .offsets_o(dst_offsets[t*Lanes*ActAw +: Lanes*ActAw]), .step_o(dst_steps[t*ActAw +: ActAw])
      );
    end
  endgenerate

  // Rows of a GATHER. Items are read when nothing older can write them.
  wire             rows_busy, rows_failed, row_valid;
  wire [31:0]      row_table;
  wire [ActAw-1:0] row_act;
  vla_gather_rows #(.Block(Block), .ActAw(ActAw)) u_rows (
    .clk_i(clk_i), .rst_i(rst_i), .start_i(accept && gather && !drop), .packet_i(packet_i), .may_read_i(head_tag == walk_tag),
    .busy_o(rows_busy), .failed_o(rows_failed),
    .item_valid_o(item_valid_o), .item_ready_i(item_ready_i), .item_addr_o(item_addr_o),
    .item_word_valid_i(item_word_valid_i), .item_word_data_i(copy_word_data_i[31:0]),
    .row_valid_o(row_valid), .row_ready_i(run_ready && gather_q), .row_table_o(row_table), .row_act_o(row_act)
  );

  // Runs, cut into segments.
  wire             walk_busy, cut_busy, walk_valid, run_ready;
  wire [31:0]      walk_src;
  wire [ActAw-1:0] walk_dst;
  wire             run_valid = gather_q ? row_valid : walk_valid;
  wire [31:0]      run_src   = !gather_q ? walk_src : to_table_q ? {{(32-ActAw){1'b0}}, row_act} : row_table;
  wire [ActAw-1:0] run_dst   = !gather_q ? walk_dst : to_table_q ? row_table[ActAw-1:0] : row_act;
  wire [11:0]      unused_i1, unused_i2;
  wire             unused_row_end;
  vla_run_walker #(.SrcAw(32), .DstAw(ActAw)) u_walker (
    .clk_i(clk_i), .rst_i(rst_i), .start_i(accept && !gather && !drop),
    .empty_i(n0 == 0 || n1 == 0 || n2 == 0 || n3 == 0), .n1_i(n1), .n2_i(n2), .n3_i(n3),
    .src_base_i(packet_i[`VLA_COPY_SRC]),
    .src_stride1_i({10'd0, packet_i[`VLA_COPY_SRC_STRIDE1]}),
    .src_stride2_i({10'd0, packet_i[`VLA_COPY_SRC_STRIDE2]}),
    .src_stride3_i({10'd0, packet_i[`VLA_COPY_SRC_STRIDE3]}),
    .src_ring_i(local_move ? packet_i[`VLA_COPY_SRC_RING] : 11'd0), .src_slot_i(packet_i[`VLA_COPY_SRC_SLOT]),
    .dst_base_i(packet_i[`VLA_COPY_DST_LSB +: ActAw]),
    .dst_stride1_i(packet_i[`VLA_COPY_DST_STRIDE1_LSB +: ActAw]),
    .dst_stride2_i(packet_i[`VLA_COPY_DST_STRIDE2_LSB +: ActAw]),
    .dst_stride3_i(packet_i[`VLA_COPY_DST_STRIDE3_LSB +: ActAw]),
    .dst_ring_i(packet_i[`VLA_COPY_DST_RING]), .dst_slot_i(packet_i[`VLA_COPY_DST_SLOT]),
    .busy_o(walk_busy), .run_valid_o(walk_valid), .run_ready_i(run_ready && !gather_q),
    .run_src_o(walk_src), .run_dst_o(walk_dst),
    .run_i1_o(unused_i1), .run_i2_o(unused_i2), .run_row_end_o(unused_row_end)
  );

  wire               walk_local = local_q[walk_tag];
  wire               seg_valid, seg_ready, seg_first;
  wire               seg_goes_on = gather_q && !seg_first;
  wire [31:0]        seg_src;
  wire [ActAw-1:0]   seg_dst;
  wire [SegBits-1:0] seg_words;
  vla_segmenter #(
    .LineAw(32), .WordAw(ActAw), .RunBits(RunBits), .LineUnits(LineWords), .SegLines(SegLines), .GroupUnits(Lanes)
  ) u_segmenter (
    .clk_i(clk_i), .rst_i(rst_i), .local_i(walk_local),
    .run_valid_i(run_valid), .run_ready_o(run_ready),
    .run_line_i(run_src), .run_word_i(run_dst), .run_units_i(units_q), .busy_o(cut_busy),
    .seg_valid_o(seg_valid), .seg_ready_i(seg_ready),
    .seg_line_o(seg_src), .seg_word_o(seg_dst), .seg_units_o(seg_words), .seg_first_o(seg_first)
  );

  // Segments go to the local mover, or in bursts to the data movers.
  wire                 in_order, deal_busy, deal_ready, burst_fire;
  wire [InMasters-1:0] mover_seg_valid, mover_seg_ready, mover_burst_valid, mover_burst_ready;
  wire [InMasters-1:0] mover_retire, mover_retire_tag, mover_error;
  wire [31:0]          burst_line;
  wire [7:0]           burst_len;
  wire [InMasters-1:0] mover_idle;
  wire                 tracker_ready, local_ready, local_idle, local_retire, local_retire_tag;
  wire                 local_fire = seg_valid && walk_local && local_ready;
  assign seg_ready = walk_local ? local_ready : deal_ready;

  vla_burst_dealer #(
    .Block(Block), .SegLines(SegLines), .SegBits(SegBits), .Masters(InMasters)
  ) u_dealer (
    .clk_i(clk_i), .rst_i(rst_i), .in_order_i(in_order || gather_q),
    .seg_valid_i(seg_valid && !walk_local), .seg_ready_o(deal_ready), .seg_line_i(seg_src),
    .seg_words_i(seg_words), .busy_o(deal_busy),
    .piece_valid_o(mover_seg_valid), .piece_ready_i(mover_seg_ready),
    .burst_valid_o(mover_burst_valid), .burst_ready_i(mover_burst_ready),
    .burst_line_o(burst_line), .burst_len_o(burst_len), .burst_fire_o(burst_fire)
  );

  vla_copy_order #(.Units(ActWords)) u_order (
    .clk_i(clk_i), .load_i(accept), .n0_i(n0), .n1_i(n1), .n2_i(n2), .n3_i(n3),
    .base_i(packet_i[`VLA_COPY_DST]), .stride1_i(packet_i[`VLA_COPY_DST_STRIDE1]),
    .stride2_i(packet_i[`VLA_COPY_DST_STRIDE2]), .stride3_i(packet_i[`VLA_COPY_DST_STRIDE3]),
    .ring_i(packet_i[`VLA_COPY_DST_RING]), .in_order_o(in_order)
  );

  vla_copy_tracker #(.Movers(InMasters + 1), .CountBits(8)) u_tracker (
    .clk_i(clk_i), .rst_i(rst_i),
    .accept_i(accept), .ready_o(tracker_ready), .walk_idle_i(!walk_busy && !rows_busy && !cut_busy && !deal_busy),
    .dealt_i({7'd0, local_fire || burst_fire}), .settled_i(local_idle && (&mover_idle)),
    .retire_i({local_retire, mover_retire}), .retire_tag_i({local_retire_tag, mover_retire_tag}),
    .error_i({1'b0, mover_error}),
    .walk_tag_o(walk_tag), .head_tag_o(head_tag), .done_o(done_o), .error_o(axi_error_o), .active_o(active_o)
  );

  // Behind a wrong item no packet comes in until dispatch had time to stop. One that had its semaphores by then is on
  // offer in the first cycle behind that, and is done without doing anything.
  reg       bad_q;   // the head met one
  reg [7:0] hold_q;  // and was done in the last cycles
  assign drop           = hold_q[7];
  assign index_error_o  = done_o && bad_q;
  assign packet_ready_o = tracker_ready && !bad_q && hold_q[6:0] == 7'd0;
  always @(posedge clk_i) begin
    if (rst_i) bad_q <= 1'b0;
    else if (rows_failed) bad_q <= 1'b1;
    else if (done_o) bad_q <= 1'b0;
    hold_q <= rst_i ? 8'd0 : {hold_q[6:0], index_error_o};
  end

  // Distances of the head packet.
  wire [Lanes*ActAw-1:0] head_dst_offsets = head_tag ? dst_offsets[Lanes*ActAw +: Lanes*ActAw]
                                                     : dst_offsets[Lanes*ActAw-1:0];
  wire [ActAw-1:0]       head_dst_step    = head_tag ? dst_steps[2*ActAw-1:ActAw] : dst_steps[ActAw-1:0];
  wire [ActAw-1:0]       head_beat_step;
  generate
    if (InMasters == 1) begin : g_beat_is_group
      assign head_beat_step = head_dst_step;
    end else begin : g_beat_in_group
      assign head_beat_step = head_dst_offsets[BeatWords*ActAw +: ActAw];
    end
  endgenerate

  // The movers share the write lanes: only the head packet writes, and it uses one kind of mover.
  wire [Lanes-1:0]       mover_wr_valid, local_wr_valid;
  wire [Lanes*ActAw-1:0] mover_wr_addr, local_wr_addr;
  wire [Lanes*8*Block-1:0] mover_wr_data, local_wr_data;
  wire                   head_local = local_q[head_tag];
  assign wr_valid_o = mover_wr_valid | local_wr_valid;
  assign wr_addr_o  = head_local ? local_wr_addr : mover_wr_addr;
  assign wr_data_o  = head_local ? local_wr_data : mover_wr_data;

  genvar m;
  generate
    for (m = 0; m < InMasters; m = m + 1) begin : g_mover
      vla_data_mover #(.Block(Block), .ActAw(ActAw), .SegBits(SegBits)) u_mover (
        .clk_i(clk_i), .rst_i(rst_i), .data_bases_i(data_bases_i), .head_tag_i(head_tag),
        .seg_valid_i(mover_seg_valid[m]), .seg_ready_o(mover_seg_ready[m]),
        .seg_word_i(seg_dst), .seg_words_i(seg_words), .seg_goes_on_i(seg_goes_on),
        .offsets_i(head_dst_offsets[BeatWords*ActAw-1:0]), .step_i(head_beat_step),
        .burst_valid_i(mover_burst_valid[m]), .burst_ready_o(mover_burst_ready[m]),
        .burst_line_i(burst_line), .burst_len_i(burst_len), .burst_tag_i(walk_tag),
        .idle_o(mover_idle[m]), .retire_o(mover_retire[m]), .retire_tag_o(mover_retire_tag[m]),
        .ar_valid_o(ar_valid_o[m]), .ar_ready_i(ar_ready_i[m]),
        .ar_addr_o(ar_addr_o[m*64 +: 64]), .ar_len_o(ar_len_o[m*8 +: 8]),
        .r_valid_i(r_valid_i[m]), .r_ready_o(r_ready_o[m]), .r_data_i(r_data_i[m*256 +: 256]),
        .r_last_i(r_last_i[m]), .r_error_i(r_error_i[m]), .error_o(mover_error[m]),
        .wr_valid_o(mover_wr_valid[m*BeatWords +: BeatWords]),
        .wr_addr_o(mover_wr_addr[m*BeatWords*ActAw +: BeatWords*ActAw]),
        .wr_data_o(mover_wr_data[m*256 +: 256]),
        .wr_grant_i(wr_grant_i[m*BeatWords +: BeatWords])
      );
    end
  endgenerate

  vla_local_mover #(.Block(Block), .ActAw(ActAw), .Lanes(Lanes)) u_local (
    .clk_i(clk_i), .rst_i(rst_i), .head_tag_i(head_tag),
    .fill_i(fill_q[head_tag]), .pad_i(head_tag ? pad1_q : pad0_q), .transpose_i(transpose_q[head_tag]),
    .src_step_i(head_tag ? src_steps[2*ActAw-1:ActAw] : src_steps[ActAw-1:0]),
    .dst_offsets_i(head_dst_offsets), .dst_step_i(head_dst_step), .seg_goes_on_i(seg_goes_on),
    .seg_valid_i(seg_valid && walk_local), .seg_ready_o(local_ready),
    .seg_src_i(seg_src[ActAw-1:0]), .seg_dst_i(seg_dst), .seg_words_i(seg_words[3:0]), .seg_tag_i(walk_tag),
    .idle_o(local_idle), .retire_o(local_retire), .retire_tag_o(local_retire_tag),
    .read_valid_o(copy_valid_o), .read_ready_i(copy_ready_i), .read_addr_o(copy_addr_o),
    .read_words_o(copy_words_o), .read_note_o(copy_note_o),
    .word_valid_i(copy_word_valid_i), .word_ready_o(copy_word_ready_o), .word_data_i(copy_word_data_i),
    .word_note_i(copy_word_note_i),
    .wr_valid_o(local_wr_valid), .wr_addr_o(local_wr_addr), .wr_data_o(local_wr_data), .wr_grant_i(wr_grant_i)
  );

  assign copy_skip_o    = fill_q[head_tag];
  assign copy_offsets_o = head_tag ? src_offsets[Lanes*ActAw +: Lanes*ActAw] : src_offsets[Lanes*ActAw-1:0];

  wire unused_packet = ^{packet_i, pitch_all};

endmodule
`default_nettype wire
