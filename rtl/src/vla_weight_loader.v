// WLOAD queue: COPY weight_to_weight, data_to_param, data_to_weight and act_to_weight.
// Does: walk the runs of a COPY, skip masked weight blocks, join neighbouring runs, cut them into bursts and
// hand each to every weight master, which reads its own columns of the words at its own pace; read lines of parameters
// or of weights over the data client; make weight words of activation words; ask for the next packet's bursts while
// the current one still receives data.
// Does not: check a packet (vla_packet_check did), or order anything against other queues (semaphores do).
// Latency: 8 cycles from packet to its first read address. Full rate is one beat per cycle and weight master
// (a word per cycle when WeightMasters = Columns), a line every two cycles, Lanes activation words per cycle.
// Order: weight masters, the data client and activation words write weights in turn: a packet that does it another way
// than the one before waits until nothing is held. In each way a column is written by one writer only, in the order of
// the packets; parameters likewise.
// Handshake: see "Queue to engine", "Weight memory" and "Parameter memory" in rtl/README.md.
`include "vla_isa.vh"
`default_nettype none
module vla_weight_loader #(
  parameter Block         = 16,    // B
  parameter ActWords      = 131072, // words of B bytes of the activation memory
  parameter WeightWords   = 8192,  // words of B x B bytes of the weight memory
  parameter ParamWords    = 2048,  // words of 8*B bytes of the parameter memory
  parameter WeightMasters = 8,     // divides the B*B/32 beats of a weight word
  parameter Lanes         = 4      // activation words read at once
) (
  input  wire                                             clk_i,
  input  wire                                             rst_i,
  input  wire [64*`VLA_DATA_CHANNELS-1:0]                 data_bases_i,
  input  wire [64*WeightMasters-1:0]                      weight_bases_i,
  // packet
  input  wire                                             packet_valid_i,
  output wire                                             packet_ready_o,
  input  wire [511:0]                                     packet_i,
  output wire                                             done_o,
  output wire                                             active_o,
  // read clients, one per weight master
  output wire [WeightMasters-1:0]                         ar_valid_o,
  input  wire [WeightMasters-1:0]                         ar_ready_i,
  output wire [WeightMasters*64-1:0]                      ar_addr_o,
  output wire [WeightMasters*8-1:0]                       ar_len_o,
  input  wire [WeightMasters-1:0]                         r_valid_i,
  output wire [WeightMasters-1:0]                         r_ready_o,
  input  wire [WeightMasters*256-1:0]                     r_data_i,
  input  wire [WeightMasters-1:0]                         r_last_i,
  input  wire [WeightMasters-1:0]                         r_error_i,
  // read client of in-master 0
  output wire                                             data_ar_valid_o,
  input  wire                                             data_ar_ready_i,
  output wire [63:0]                                      data_ar_addr_o,
  output wire [7:0]                                       data_ar_len_o,
  input  wire                                             data_r_valid_i,
  output wire                                             data_r_ready_o,
  input  wire [255:0]                                     data_r_data_i,
  input  wire                                             data_r_last_i,
  input  wire                                             data_r_error_i,
  output wire                                             axi_error_o,
  // activation words: groups of Lanes, and what comes of them
  output wire                                             key_valid_o,
  input  wire                                             key_ready_i,
  output wire [$clog2(ActWords)-1:0]                      key_addr_o,
  output wire [2+$clog2(Block/2)+$clog2(WeightWords)-1:0] key_note_o,
  input  wire                                             key_word_valid_i,
  input  wire [Lanes*8*Block-1:0]                         key_word_data_i,
  input  wire [2+$clog2(Block/2)+$clog2(WeightWords)-1:0] key_word_note_i,
  // weight memory
  output wire [Block*Block/32-1:0]                        weight_wr_en_o,
  output wire [(Block*Block/32)*$clog2(WeightWords)-1:0]  weight_wr_addr_o,
  output wire [(Block*Block/32)*256-1:0]                  weight_wr_data_o,
  // parameter memory: masks out, parameters in
  output wire                                             param_rd_valid_o,
  output wire [$clog2(ParamWords)-1:0]                    param_rd_addr_o,
  input  wire                                             param_rd_grant_i,
  input  wire [64*Block-1:0]                              param_rd_data_i,
  output wire                                             param_wr_en_o,
  output wire [$clog2(ParamWords)-1:0]                    param_wr_addr_o,
  output wire                                             param_wr_line_o,
  output wire [511:0]                                     param_wr_data_o
);

  localparam Columns  = Block * Block / 32;
  localparam Beats    = Columns / WeightMasters;      // beats of a word on each master
  localparam ActAw    = $clog2(ActWords);
  localparam WeightAw = $clog2(WeightWords);
  localparam ParamAw  = $clog2(ParamWords);
  localparam LineLog  = $clog2(Block / 8);            // lines of a parameter word
  localparam WordLog  = $clog2(Block * Block / 64);   // lines of a weight word
  localparam DstAw    = 18;                           // weight word, or line of the memory that lines go to
  localparam SegWords = Beats < 2 ? 64 : 128 / Beats; // words, or lines, of a burst: at most 4 KB
  localparam SegBits  = $clog2(SegWords) + 1;

  wire [15:0] n0       = packet_i[`VLA_COPY_N0];
  wire [11:0] n1       = packet_i[`VLA_COPY_N1];
  wire [11:0] n2       = packet_i[`VLA_COPY_N2];
  wire [11:0] n3       = packet_i[`VLA_COPY_N3];
  wire [2:0]  move     = packet_i[`VLA_COPY_MOVE];
  wire        to_param = move == `VLA_COPY_MOVE_DATA_TO_PARAM;
  wire        keys     = move == `VLA_COPY_MOVE_ACT_TO_WEIGHT;
  wire        lines    = move == `VLA_COPY_MOVE_DATA_TO_WEIGHT;
  wire        accept   = packet_valid_i && packet_ready_o;

  // Who wrote weights last. Another way to do it waits until no packet is held.
  reg  [1:0]  writer_q;
  wire [1:0]  writer       = {lines, keys};
  wire        tracker_ready;
  assign packet_ready_o = tracker_ready && (!active_o || to_param || writer == writer_q);
  always @(posedge clk_i) begin
    if (rst_i) writer_q <= 2'b00;
    else if (accept && !to_param) writer_q <= writer;
  end

  // Destinations and n0 of what comes in lines count lines.
  function [DstAw-1:0] in_units;
    input [DstAw-1:0] words;
    input             param;
    input             line;
    in_units = param ? words << LineLog : line ? words << WordLog : words;
  endfunction
  wire [DstAw-1:0] dst_base    = in_units({2'd0, packet_i[`VLA_COPY_DST_LSB +: 16]}, to_param, lines);
  wire [DstAw-1:0] dst_stride1 = in_units(packet_i[`VLA_COPY_DST_STRIDE1_LSB +: DstAw], to_param, lines);
  wire [DstAw-1:0] dst_stride2 = in_units(packet_i[`VLA_COPY_DST_STRIDE2_LSB +: DstAw], to_param, lines);
  wire [DstAw-1:0] dst_stride3 = in_units(packet_i[`VLA_COPY_DST_STRIDE3_LSB +: DstAw], to_param, lines);
  wire [DstAw-1:0] units       = in_units({2'd0, n0}, to_param, lines);

  reg             to_param_q, keys_q, lines_q;  // of the packet being walked
  reg [DstAw-1:0] units_q;
  always @(posedge clk_i) begin
    if (accept) to_param_q <= to_param;
    if (accept) keys_q     <= keys;
    if (accept) lines_q    <= lines;
    if (accept) units_q    <= units;
  end

  // Runs, without masked ones, joined, cut into bursts.
  wire             walk_busy, join_busy, cut_busy, walk_tag, head_tag;
  wire             run_valid, run_ready, run_row_end, live_valid, live_ready, long_valid, long_ready;
  wire [31:0]      run_src, long_src;
  wire [DstAw-1:0] run_dst, live_dst, long_dst;
  wire [DstAw:0]   long_units;
  wire [11:0]      run_i1, run_i2;
  vla_run_walker #(.SrcAw(32), .DstAw(DstAw)) u_walker (
    .clk_i(clk_i), .rst_i(rst_i), .start_i(accept),
    .empty_i(n0 == 0 || n1 == 0 || n2 == 0 || n3 == 0), .n1_i(n1), .n2_i(n2), .n3_i(n3),
    .src_base_i(packet_i[`VLA_COPY_SRC]),
    .src_stride1_i({10'd0, packet_i[`VLA_COPY_SRC_STRIDE1]}),
    .src_stride2_i({10'd0, packet_i[`VLA_COPY_SRC_STRIDE2]}),
    .src_stride3_i({10'd0, packet_i[`VLA_COPY_SRC_STRIDE3]}),
    .src_ring_i(keys ? packet_i[`VLA_COPY_SRC_RING] : 11'd0), .src_slot_i(packet_i[`VLA_COPY_SRC_SLOT]),
    .dst_base_i(dst_base), .dst_stride1_i(dst_stride1), .dst_stride2_i(dst_stride2),
    .dst_stride3_i(dst_stride3), .dst_ring_i(11'd0), .dst_slot_i(11'd0),
    .busy_o(walk_busy), .run_valid_o(run_valid), .run_ready_i(run_ready), .run_src_o(run_src),
    .run_dst_o(run_dst), .run_i1_o(run_i1), .run_i2_o(run_i2), .run_row_end_o(run_row_end)
  );

  vla_mask_filter #(.Block(Block), .ParamAw(ParamAw), .DstAw(DstAw)) u_filter (
    .clk_i(clk_i), .rst_i(rst_i), .start_i(accept), .enable_i(packet_i[`VLA_COPY_MASK_ENABLE]),
    .mask_base_i(packet_i[`VLA_COPY_MASK_BASE_LSB +: ParamAw]), .dst_base_i(dst_base),
    .run_units_i(units), .may_read_i(head_tag == walk_tag),
    .run_valid_i(run_valid), .run_ready_o(run_ready), .run_dst_i(run_dst), .run_i1_i(run_i1),
    .run_i2_i(run_i2), .run_row_end_i(run_row_end),
    .live_valid_o(live_valid), .live_ready_i(live_ready), .live_dst_o(live_dst),
    .param_rd_valid_o(param_rd_valid_o), .param_rd_addr_o(param_rd_addr_o),
    .param_rd_grant_i(param_rd_grant_i), .param_rd_data_i(param_rd_data_i)
  );

  wire join_ready, key_ready;
  wire key_fire = live_valid && keys_q && key_ready;
  assign live_ready = keys_q ? key_ready : join_ready;

  vla_run_joiner #(.SrcAw(32), .DstAw(DstAw), .InBits(DstAw), .Group(SegWords)) u_joiner (
    .clk_i(clk_i), .rst_i(rst_i),
    .run_valid_i(live_valid && !keys_q), .run_ready_o(join_ready), .run_src_i(run_src), .run_dst_i(live_dst),
    .run_units_i(units_q), .busy_o(join_busy),
    .out_valid_o(long_valid), .out_ready_i(long_ready), .out_src_o(long_src), .out_dst_o(long_dst),
    .out_units_o(long_units)
  );

  wire               seg_valid, seg_ready, unused_first;
  wire [31:0]        seg_src;
  wire [DstAw-1:0]   seg_dst;
  wire [SegBits-1:0] seg_units;
  vla_segmenter #(
    .LineAw(32), .WordAw(DstAw), .RunBits(DstAw + 1), .LineUnits(1), .SegLines(SegWords), .GroupUnits(1)
  ) u_segmenter (
    .clk_i(clk_i), .rst_i(rst_i), .local_i(1'b0),
    .run_valid_i(long_valid), .run_ready_o(long_ready),
    .run_line_i(long_src), .run_word_i(long_dst), .run_units_i(long_units), .busy_o(cut_busy),
    .seg_valid_o(seg_valid), .seg_ready_i(seg_ready),
    .seg_line_o(seg_src), .seg_word_o(seg_dst), .seg_units_o(seg_units), .seg_first_o(unused_first)
  );

  // Each burst goes to every weight master at once, or to the line mover.
  wire [WeightMasters-1:0] stripe_ready, stripe_retire, stripe_retire_tag, stripe_error;
  wire                     line_ready, line_retire, line_retire_tag, line_error;
  wire                     key_retire, key_retire_tag;
  wire                     to_lines     = to_param_q || lines_q;
  wire                     all_ready    = stripe_ready == {WeightMasters{1'b1}};
  wire                     weight_fire  = seg_valid && !to_lines && all_ready;
  wire                     line_fire    = seg_valid && to_lines && line_ready;
  localparam [7:0]         WeightPieces = WeightMasters[7:0];
  assign seg_ready = to_lines ? line_ready : all_ready;

  vla_copy_tracker #(.Movers(WeightMasters + 2), .CountBits(8)) u_tracker (
    .clk_i(clk_i), .rst_i(rst_i),
    .accept_i(accept), .ready_o(tracker_ready), .walk_idle_i(!walk_busy && !join_busy && !cut_busy),
    .dealt_i(weight_fire ? WeightPieces : {7'd0, line_fire || key_fire}),
    .settled_i(1'b1), .retire_i({key_retire, line_retire, stripe_retire}),
    .retire_tag_i({key_retire_tag, line_retire_tag, stripe_retire_tag}), .error_i({1'b0, line_error, stripe_error}),
    .walk_tag_o(walk_tag), .head_tag_o(head_tag), .done_o(done_o), .error_o(axi_error_o), .active_o(active_o)
  );

  // Columns of the weight memory: of its weight master, of a line, or of a group of activation words.
  wire                         line_weight;
  wire [DstAw-1:0]             line_dst;
  localparam                   WordLines  = Columns / 2;
  wire [DstAw-1:0]             line_word  = line_dst >> WordLog;
  wire [DstAw-1:0]             line_at    = line_dst & (WordLines[DstAw-1:0] - 1'b1);  // of its word
  wire [Columns-1:0]           key_wr_en;
  wire [WeightAw-1:0]          key_wr_addr;
  wire [Lanes*8*Block-1:0]     key_wr_data;
  localparam                   KeyColumns = Lanes * Block / 32;

  genvar m, k;
  generate
    for (m = 0; m < WeightMasters; m = m + 1) begin : g_stripe
      wire [Beats-1:0]    wr_en;
      wire [WeightAw-1:0] wr_addr;
      wire [255:0]        wr_data;
      vla_weight_stripe #(.Beats(Beats), .WeightAw(WeightAw), .SegBits(SegBits)) u_stripe (
        .clk_i(clk_i), .rst_i(rst_i), .base_i(weight_bases_i[m*64 +: 64]),
        .seg_valid_i(weight_fire), .seg_ready_o(stripe_ready[m]),
        .seg_src_i(seg_src), .seg_dst_i(seg_dst[WeightAw-1:0]), .seg_words_i(seg_units), .seg_tag_i(walk_tag),
        .retire_o(stripe_retire[m]), .retire_tag_o(stripe_retire_tag[m]),
        .ar_valid_o(ar_valid_o[m]), .ar_ready_i(ar_ready_i[m]),
        .ar_addr_o(ar_addr_o[m*64 +: 64]), .ar_len_o(ar_len_o[m*8 +: 8]),
        .r_valid_i(r_valid_i[m]), .r_ready_o(r_ready_o[m]), .r_data_i(r_data_i[m*256 +: 256]),
        .r_last_i(r_last_i[m]), .r_error_i(r_error_i[m]), .error_o(stripe_error[m]),
        .wr_en_o(wr_en), .wr_addr_o(wr_addr), .wr_data_o(wr_data)
      );
      for (k = 0; k < Beats; k = k + 1) begin : g_column
        localparam Column = k * WeightMasters + m;
        localparam Pair   = Column / 2;
        assign weight_wr_en_o[Column] = writer_q[1] ? line_weight && line_at == Pair[DstAw-1:0]
                                      : writer_q[0] ? key_wr_en[Column] : wr_en[k];
        assign weight_wr_addr_o[Column*WeightAw +: WeightAw] = writer_q[1] ? line_word[WeightAw-1:0]
                                                             : writer_q[0] ? key_wr_addr : wr_addr;
        assign weight_wr_data_o[Column*256 +: 256] = writer_q[1] ? param_wr_data_o[(Column % 2)*256 +: 256]
                                                   : writer_q[0] ? key_wr_data[(Column % KeyColumns)*256 +: 256] : wr_data;
      end
    end

    if (Beats * WeightMasters != Columns) begin : g_check
      vla_bad_parameter_weight_masters_divide_columns u_bad ();
    end
  endgenerate

  vla_line_mover #(.DstAw(DstAw), .SegBits(SegBits)) u_line (
    .clk_i(clk_i), .rst_i(rst_i), .data_bases_i(data_bases_i),
    .seg_valid_i(seg_valid && to_lines), .seg_ready_o(line_ready),
    .seg_src_i(seg_src), .seg_dst_i(seg_dst), .seg_lines_i(seg_units), .seg_weight_i(lines_q), .seg_tag_i(walk_tag),
    .retire_o(line_retire), .retire_tag_o(line_retire_tag),
    .ar_valid_o(data_ar_valid_o), .ar_ready_i(data_ar_ready_i),
    .ar_addr_o(data_ar_addr_o), .ar_len_o(data_ar_len_o),
    .r_valid_i(data_r_valid_i), .r_ready_o(data_r_ready_o), .r_data_i(data_r_data_i),
    .r_last_i(data_r_last_i), .r_error_i(data_r_error_i), .error_o(line_error),
    .wr_param_o(param_wr_en_o), .wr_weight_o(line_weight), .wr_line_o(line_dst), .wr_data_o(param_wr_data_o)
  );
  assign param_wr_addr_o = line_dst[LineLog +: ParamAw];
  assign param_wr_line_o = LineLog != 0 && line_dst[0];

  vla_key_mover #(.Block(Block), .ActAw(ActAw), .WeightAw(WeightAw), .Lanes(Lanes)) u_key (
    .clk_i(clk_i), .rst_i(rst_i),
    .run_valid_i(live_valid && keys_q), .run_ready_o(key_ready), .run_src_i(run_src[ActAw-1:0]),
    .run_dst_i(live_dst[WeightAw-1:0]), .run_words_i(units_q[15:0]), .run_tag_i(walk_tag),
    .retire_o(key_retire), .retire_tag_o(key_retire_tag),
    .group_valid_o(key_valid_o), .group_ready_i(key_ready_i), .group_addr_o(key_addr_o), .group_note_o(key_note_o),
    .word_valid_i(key_word_valid_i), .word_data_i(key_word_data_i), .word_note_i(key_word_note_i),
    .wr_en_o(key_wr_en), .wr_addr_o(key_wr_addr), .wr_data_o(key_wr_data)
  );

  wire unused_bits = ^{packet_i, seg_dst, line_dst, line_word};

endmodule
`default_nettype wire
