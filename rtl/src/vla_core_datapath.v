// The engines and the on-chip memories between them.
// Does: wire five engines to the activation, weight and parameter memories, lanes in the order of
// rtl/README.md; lane n of a five-lane port belongs to queue n (0 wload, 1 load, 2 mac, 3 vec, 4 store).
// Does not: hold state of its own, or know AXI beyond read and write clients.
// Latency and handshake: those of the parts.
`default_nettype none
module vla_core_datapath #(
  parameter Pixels        = 8,
  parameter Block         = 16,
  parameter RequantPixels = 4,
  parameter ActWords      = 131072,
  parameter WeightWords   = 8192,
  parameter ParamWords    = 2048,
  parameter WeightMasters = 8,
  parameter InMasters     = 2,
  parameter OutMasters    = 2
) (
  input  wire                         clk_i,
  input  wire                         rst_i,
  input  wire [64*`VLA_DATA_CHANNELS-1:0] data_bases_i,
  input  wire [64*WeightMasters-1:0]  weight_bases_i,
  // queues
  input  wire [4:0]                   packet_valid_i,
  output wire [4:0]                   packet_ready_o,
  input  wire [2559:0]                packet_i,
  output wire [4:0]                   done_o,
  output wire [4:0]                   active_o,
  output wire                         wload_error_o,
  output wire                         load_error_o,
  output wire                         store_error_o,
  output wire                         load_index_o,   // the packet that is done met a wrong item
  output wire                         store_index_o,
  // activation memory: a read lane for fetch
  input  wire                         item_rd_valid_i,
  input  wire [$clog2(ActWords)-1:0]  item_rd_addr_i,
  output wire                         item_rd_grant_o,
  output wire                         item_rd_word_o,
  output wire [31:0]                  item_rd_data_o,
  output wire                         mac_busy_o,
  output wire                         act_conflict_o,
  // weight space, one read client per master
  output wire [WeightMasters-1:0]     weight_ar_valid_o,
  input  wire [WeightMasters-1:0]     weight_ar_ready_i,
  output wire [WeightMasters*64-1:0]  weight_ar_addr_o,
  output wire [WeightMasters*8-1:0]   weight_ar_len_o,
  input  wire [WeightMasters-1:0]     weight_r_valid_i,
  output wire [WeightMasters-1:0]     weight_r_ready_o,
  input  wire [WeightMasters*256-1:0] weight_r_data_i,
  input  wire [WeightMasters-1:0]     weight_r_last_i,
  input  wire [WeightMasters-1:0]     weight_r_error_i,
  // data space, one read client per in-master
  output wire [InMasters-1:0]         load_ar_valid_o,
  input  wire [InMasters-1:0]         load_ar_ready_i,
  output wire [InMasters*64-1:0]      load_ar_addr_o,
  output wire [InMasters*8-1:0]       load_ar_len_o,
  input  wire [InMasters-1:0]         load_r_valid_i,
  output wire [InMasters-1:0]         load_r_ready_o,
  input  wire [InMasters*256-1:0]     load_r_data_i,
  input  wire [InMasters-1:0]         load_r_last_i,
  input  wire [InMasters-1:0]         load_r_error_i,
  // data space, the read client of data_to_param
  output wire                         param_ar_valid_o,
  input  wire                         param_ar_ready_i,
  output wire [63:0]                  param_ar_addr_o,
  output wire [7:0]                   param_ar_len_o,
  input  wire                         param_r_valid_i,
  output wire                         param_r_ready_o,
  input  wire [255:0]                 param_r_data_i,
  input  wire                         param_r_last_i,
  input  wire                         param_r_error_i,
  // data space, one write client per out-master
  output wire [OutMasters-1:0]        store_aw_valid_o,
  input  wire [OutMasters-1:0]        store_aw_ready_i,
  output wire [OutMasters*64-1:0]     store_aw_addr_o,
  output wire [OutMasters*8-1:0]      store_aw_len_o,
  output wire [OutMasters-1:0]        store_w_valid_o,
  input  wire [OutMasters-1:0]        store_w_ready_i,
  output wire [OutMasters*256-1:0]    store_w_data_o,
  output wire [OutMasters*32-1:0]     store_w_strb_o,
  output wire [OutMasters-1:0]        store_w_last_o,
  input  wire [OutMasters-1:0]        store_b_valid_i,
  output wire [OutMasters-1:0]        store_b_ready_o,
  input  wire [OutMasters-1:0]        store_b_error_i
);

  localparam ActAw      = $clog2(ActWords);
  localparam WeightAw   = $clog2(WeightWords);
  localparam ParamAw    = $clog2(ParamWords);
  localparam WordBits   = 8 * Block;
  localparam WeightBits = 8 * Block * Block;
  localparam ParamBits  = 64 * Block;
  localparam Columns    = Block * Block / 32;
  localparam BeatWords  = 32 / Block;
  localparam LoadLanes  = InMasters * BeatWords;
  localparam StoreLanes = OutMasters * BeatWords;

  // activation memory: first lane of each user
  localparam RdOperand  = 0;
  localparam RdResidual = RdOperand + Pixels;
  localparam RdVector   = RdResidual + RequantPixels;
  localparam RdStore    = RdVector + 4;
  localparam RdCopy     = RdStore + StoreLanes;
  localparam RdFetch    = RdCopy + LoadLanes;
  localparam Readers    = RdFetch + 1;
  localparam WrMac      = 0;
  localparam WrVector   = WrMac + RequantPixels;
  localparam WrLoad     = WrVector + 2;
  localparam Writers    = WrLoad + LoadLanes;

  // memories
  wire [Readers-1:0]            act_rd_valid;
  wire [Readers*ActAw-1:0]      act_rd_addr;
  wire [Readers-1:0]            act_rd_grant;
  wire [Readers-1:0]            act_rd_word;
  wire [Readers*WordBits-1:0]   act_rd_data;
  wire [Writers-1:0]            act_wr_valid;
  wire [Writers*ActAw-1:0]      act_wr_addr;
  wire [Writers*WordBits-1:0]   act_wr_data;
  wire [Writers-1:0]            act_wr_grant;

  vla_act_memory #(
    .Block   (Block),
    .ActWords(ActWords),
    .Operands(Pixels),
    .Readers (Readers),
    .Writers (Writers)
  ) u_act_memory (
    .clk_i     (clk_i),
    .rst_i     (rst_i),
    .rd_valid_i(act_rd_valid),
    .rd_addr_i (act_rd_addr),
    .rd_grant_o(act_rd_grant),
    .rd_word_o (act_rd_word),
    .rd_data_o (act_rd_data),
    .wr_valid_i(act_wr_valid),
    .wr_addr_i (act_wr_addr),
    .wr_data_i (act_wr_data),
    .wr_grant_o(act_wr_grant)
  );

  assign act_rd_valid[RdFetch]                 = item_rd_valid_i;
  assign act_rd_addr[RdFetch*ActAw +: ActAw]   = item_rd_addr_i;
  assign item_rd_grant_o                       = act_rd_grant[RdFetch];
  assign item_rd_word_o                        = act_rd_word[RdFetch];
  assign item_rd_data_o                        = act_rd_data[RdFetch*WordBits +: 32];
  wire unused_item = ^act_rd_data[RdFetch*WordBits + 32 +: WordBits - 32];
  wire unused_grants = ^act_rd_grant[RdOperand +: Pixels];  // operands are always granted

  wire                        weight_rd_en;
  wire [WeightAw-1:0]         weight_rd_addr;
  wire [WeightBits-1:0]       weight_rd_data;
  wire [Columns-1:0]          weight_wr_en;
  wire [Columns*WeightAw-1:0] weight_wr_addr;
  wire [Columns*256-1:0]      weight_wr_data;

  vla_weight_memory #(
    .Block      (Block),
    .WeightWords(WeightWords)
  ) u_weight_memory (
    .clk_i    (clk_i),
    .rst_i    (rst_i),
    .rd_en_i  (weight_rd_en),
    .rd_addr_i(weight_rd_addr),
    .rd_data_o(weight_rd_data),
    .wr_en_i  (weight_wr_en),
    .wr_addr_i(weight_wr_addr),
    .wr_data_i(weight_wr_data)
  );

  // readers: 0 MAC, 1 VEC, 2 WLOAD
  wire [2:0]           param_rd_valid;
  wire [3*ParamAw-1:0] param_rd_addr;
  wire [2:0]           param_rd_grant;
  wire [ParamBits-1:0] param_rd_data;
  wire                 param_wr_en;
  wire [ParamAw-1:0]   param_wr_addr;
  wire                 param_wr_line;
  wire [511:0]         param_wr_data;

  vla_param_memory #(
    .Block     (Block),
    .ParamWords(ParamWords)
  ) u_param_memory (
    .clk_i     (clk_i),
    .rst_i     (rst_i),
    .rd_valid_i(param_rd_valid),
    .rd_addr_i (param_rd_addr),
    .rd_grant_o(param_rd_grant),
    .rd_data_o (param_rd_data),
    .wr_en_i   (param_wr_en),
    .wr_addr_i (param_wr_addr),
    .wr_line_i (param_wr_line),
    .wr_data_i (param_wr_data)
  );

  // the reader of moves on chip: 0 the data loader, 1 the weight loader, 2 the data loader's items
  localparam KeyNote  = 2 + $clog2(Block / 2) + WeightAw;
  localparam CopyNote = 4 + ActAw > KeyNote ? 4 + ActAw : KeyNote;
  wire [2:0]                    copy_valid, copy_ready, copy_word_valid;
  wire                          copy_word_ready, copy_skip;
  wire [3*ActAw-1:0]            copy_addr;
  wire [LoadLanes*ActAw-1:0]    copy_offsets;
  wire [3:0]                    copy_words;
  wire [ActAw+3:0]              copy_note;
  wire [KeyNote-1:0]            key_note;
  wire [LoadLanes*WordBits-1:0] copy_word_data;
  wire [CopyNote-1:0]           copy_word_note;
  vla_word_share #(
    .Block   (Block),
    .ActAw   (ActAw),
    .Lanes   (LoadLanes),
    .NoteBits(CopyNote),
    .Users   (3)
  ) u_copy_share (
    .clk_i        (clk_i),
    .rst_i        (rst_i),
    .group_valid_i(copy_valid),
    .group_ready_o(copy_ready),
    .group_addr_i (copy_addr),
    .group_offsets_i(copy_offsets),
    .group_words_i({4'd1, LoadLanes[3:0], copy_words}),
    .group_skip_i ({2'b00, copy_skip}),
    .group_note_i ({{CopyNote{1'b0}}, {(CopyNote-KeyNote){1'b0}}, key_note, {(CopyNote-ActAw-4){1'b0}}, copy_note}),
    .rd_valid_o   (act_rd_valid[RdCopy +: LoadLanes]),
    .rd_addr_o    (act_rd_addr[RdCopy*ActAw +: LoadLanes*ActAw]),
    .rd_grant_i   (act_rd_grant[RdCopy +: LoadLanes]),
    .rd_word_i    (act_rd_word[RdCopy +: LoadLanes]),
    .rd_data_i    (act_rd_data[RdCopy*WordBits +: LoadLanes*WordBits]),
    .out_valid_o  (copy_word_valid),
    .out_ready_i  ({2'b11, copy_word_ready}),
    .out_data_o   (copy_word_data),
    .out_note_o   (copy_word_note)
  );

  // engines
  vla_weight_loader #(
    .Block        (Block),
    .ActWords     (ActWords),
    .WeightWords  (WeightWords),
    .ParamWords   (ParamWords),
    .WeightMasters(WeightMasters),
    .Lanes        (LoadLanes)
  ) u_weight_loader (
    .clk_i           (clk_i),
    .rst_i           (rst_i),
    .packet_valid_i  (packet_valid_i[0]),
    .packet_ready_o  (packet_ready_o[0]),
    .packet_i        (packet_i[511:0]),
    .done_o          (done_o[0]),
    .active_o        (active_o[0]),
    .data_bases_i    (data_bases_i),
    .weight_bases_i  (weight_bases_i),
    .ar_valid_o      (weight_ar_valid_o),
    .ar_ready_i      (weight_ar_ready_i),
    .ar_addr_o       (weight_ar_addr_o),
    .ar_len_o        (weight_ar_len_o),
    .r_valid_i       (weight_r_valid_i),
    .r_ready_o       (weight_r_ready_o),
    .r_data_i        (weight_r_data_i),
    .r_last_i        (weight_r_last_i),
    .r_error_i       (weight_r_error_i),
    .data_ar_valid_o (param_ar_valid_o),
    .data_ar_ready_i (param_ar_ready_i),
    .data_ar_addr_o  (param_ar_addr_o),
    .data_ar_len_o   (param_ar_len_o),
    .data_r_valid_i  (param_r_valid_i),
    .data_r_ready_o  (param_r_ready_o),
    .data_r_data_i   (param_r_data_i),
    .data_r_last_i   (param_r_last_i),
    .data_r_error_i  (param_r_error_i),
    .param_rd_valid_o(param_rd_valid[2]),
    .param_rd_addr_o (param_rd_addr[3*ParamAw-1:2*ParamAw]),
    .param_rd_grant_i(param_rd_grant[2]),
    .param_rd_data_i (param_rd_data),
    .key_valid_o     (copy_valid[1]),
    .key_ready_i     (copy_ready[1]),
    .key_addr_o      (copy_addr[2*ActAw-1:ActAw]),
    .key_note_o      (key_note),
    .key_word_valid_i(copy_word_valid[1]),
    .key_word_data_i (copy_word_data),
    .key_word_note_i (copy_word_note[KeyNote-1:0]),
    .weight_wr_en_o  (weight_wr_en),
    .weight_wr_addr_o(weight_wr_addr),
    .weight_wr_data_o(weight_wr_data),
    .param_wr_en_o   (param_wr_en),
    .param_wr_addr_o (param_wr_addr),
    .param_wr_line_o (param_wr_line),
    .param_wr_data_o (param_wr_data),
    .axi_error_o     (wload_error_o)
  );

  vla_data_loader #(
    .Block    (Block),
    .ActWords (ActWords),
    .InMasters(InMasters)
  ) u_data_loader (
    .clk_i          (clk_i),
    .rst_i          (rst_i),
    .packet_valid_i (packet_valid_i[1]),
    .packet_ready_o (packet_ready_o[1]),
    .packet_i       (packet_i[1023:512]),
    .done_o         (done_o[1]),
    .active_o       (active_o[1]),
    .data_bases_i   (data_bases_i),
    .ar_valid_o     (load_ar_valid_o),
    .ar_ready_i     (load_ar_ready_i),
    .ar_addr_o      (load_ar_addr_o),
    .ar_len_o       (load_ar_len_o),
    .r_valid_i      (load_r_valid_i),
    .r_ready_o      (load_r_ready_o),
    .r_data_i       (load_r_data_i),
    .r_last_i       (load_r_last_i),
    .r_error_i      (load_r_error_i),
    .copy_valid_o     (copy_valid[0]),
    .copy_ready_i     (copy_ready[0]),
    .copy_addr_o      (copy_addr[ActAw-1:0]),
    .copy_offsets_o   (copy_offsets),
    .copy_words_o     (copy_words),
    .copy_skip_o      (copy_skip),
    .copy_note_o      (copy_note),
    .copy_word_valid_i(copy_word_valid[0]),
    .copy_word_ready_o(copy_word_ready),
    .copy_word_data_i (copy_word_data),
    .copy_word_note_i (copy_word_note[ActAw+3:0]),
    .item_valid_o     (copy_valid[2]),
    .item_ready_i     (copy_ready[2]),
    .item_addr_o      (copy_addr[3*ActAw-1:2*ActAw]),
    .item_word_valid_i(copy_word_valid[2]),
    .wr_valid_o     (act_wr_valid[WrLoad +: LoadLanes]),
    .wr_addr_o      (act_wr_addr[WrLoad*ActAw +: LoadLanes*ActAw]),
    .wr_data_o      (act_wr_data[WrLoad*WordBits +: LoadLanes*WordBits]),
    .wr_grant_i     (act_wr_grant[WrLoad +: LoadLanes]),
    .axi_error_o    (load_error_o),
    .index_error_o  (load_index_o)
  );

  vla_mac_engine #(
    .Pixels       (Pixels),
    .Block        (Block),
    .RequantPixels(RequantPixels),
    .ActWords     (ActWords),
    .WeightWords  (WeightWords),
    .ParamWords   (ParamWords)
  ) u_mac_engine (
    .clk_i           (clk_i),
    .rst_i           (rst_i),
    .packet_valid_i  (packet_valid_i[2]),
    .packet_ready_o  (packet_ready_o[2]),
    .packet_i        (packet_i[1535:1024]),
    .done_o          (done_o[2]),
    .active_o        (active_o[2]),
    .op_rd_valid_o   (act_rd_valid[RdOperand +: Pixels]),
    .op_rd_addr_o    (act_rd_addr[RdOperand*ActAw +: Pixels*ActAw]),
    .op_rd_word_i    (act_rd_word[RdOperand +: Pixels]),
    .op_rd_data_i    (act_rd_data[RdOperand*WordBits +: Pixels*WordBits]),
    .res_rd_valid_o  (act_rd_valid[RdResidual +: RequantPixels]),
    .res_rd_addr_o   (act_rd_addr[RdResidual*ActAw +: RequantPixels*ActAw]),
    .res_rd_grant_i  (act_rd_grant[RdResidual +: RequantPixels]),
    .res_rd_word_i   (act_rd_word[RdResidual +: RequantPixels]),
    .res_rd_data_i   (act_rd_data[RdResidual*WordBits +: RequantPixels*WordBits]),
    .wr_valid_o      (act_wr_valid[WrMac +: RequantPixels]),
    .wr_addr_o       (act_wr_addr[WrMac*ActAw +: RequantPixels*ActAw]),
    .wr_data_o       (act_wr_data[WrMac*WordBits +: RequantPixels*WordBits]),
    .wr_grant_i      (act_wr_grant[WrMac +: RequantPixels]),
    .weight_rd_en_o  (weight_rd_en),
    .weight_rd_addr_o(weight_rd_addr),
    .weight_rd_data_i(weight_rd_data),
    .param_rd_valid_o(param_rd_valid[0]),
    .param_rd_addr_o (param_rd_addr[ParamAw-1:0]),
    .param_rd_grant_i(param_rd_grant[0]),
    .param_rd_data_i (param_rd_data),
    .count_busy_o    (mac_busy_o),
    .count_conflict_o(act_conflict_o)
  );

  vla_vector_engine #(
    .Block     (Block),
    .ActWords  (ActWords),
    .ParamWords(ParamWords)
  ) u_vector_engine (
    .clk_i           (clk_i),
    .rst_i           (rst_i),
    .packet_valid_i  (packet_valid_i[3]),
    .packet_ready_o  (packet_ready_o[3]),
    .packet_i        (packet_i[2047:1536]),
    .done_o          (done_o[3]),
    .active_o        (active_o[3]),
    .rd_valid_o      (act_rd_valid[RdVector +: 4]),
    .rd_addr_o       (act_rd_addr[RdVector*ActAw +: 4*ActAw]),
    .rd_grant_i      (act_rd_grant[RdVector +: 4]),
    .rd_word_i       (act_rd_word[RdVector +: 4]),
    .rd_data_i       (act_rd_data[RdVector*WordBits +: 4*WordBits]),
    .wr_valid_o      (act_wr_valid[WrVector +: 2]),
    .wr_addr_o       (act_wr_addr[WrVector*ActAw +: 2*ActAw]),
    .wr_data_o       (act_wr_data[WrVector*WordBits +: 2*WordBits]),
    .wr_grant_i      (act_wr_grant[WrVector +: 2]),
    .param_rd_valid_o(param_rd_valid[1]),
    .param_rd_addr_o (param_rd_addr[2*ParamAw-1:ParamAw]),
    .param_rd_grant_i(param_rd_grant[1]),
    .param_rd_data_i (param_rd_data)
  );

  vla_store_engine #(
    .Block     (Block),
    .ActWords  (ActWords),
    .OutMasters(OutMasters)
  ) u_store_engine (
    .clk_i         (clk_i),
    .rst_i         (rst_i),
    .packet_valid_i(packet_valid_i[4]),
    .packet_ready_o(packet_ready_o[4]),
    .packet_i      (packet_i[2559:2048]),
    .done_o        (done_o[4]),
    .active_o      (active_o[4]),
    .data_bases_i  (data_bases_i),
    .aw_valid_o    (store_aw_valid_o),
    .aw_ready_i    (store_aw_ready_i),
    .aw_addr_o     (store_aw_addr_o),
    .aw_len_o      (store_aw_len_o),
    .w_valid_o     (store_w_valid_o),
    .w_ready_i     (store_w_ready_i),
    .w_data_o      (store_w_data_o),
    .w_strb_o      (store_w_strb_o),
    .w_last_o      (store_w_last_o),
    .b_valid_i     (store_b_valid_i),
    .b_ready_o     (store_b_ready_o),
    .b_error_i     (store_b_error_i),
    .rd_valid_o    (act_rd_valid[RdStore +: StoreLanes]),
    .rd_addr_o     (act_rd_addr[RdStore*ActAw +: StoreLanes*ActAw]),
    .rd_grant_i    (act_rd_grant[RdStore +: StoreLanes]),
    .rd_word_i     (act_rd_word[RdStore +: StoreLanes]),
    .rd_data_i     (act_rd_data[RdStore*WordBits +: StoreLanes*WordBits]),
    .axi_error_o   (store_error_o),
    .index_error_o (store_index_o)
  );

endmodule
`default_nettype wire
