// Test bench top: the three COPY engines with the on-chip memories and the arbiter of in-master 0.
// Does: stand in for the other users of the memories with noise lanes of higher priority; let the bench read
// and write the memories while nothing runs. Queue numbers here: 0 WLOAD, 1 LOAD, 2 STORE.
`include "vla_isa.vh"
`default_nettype none
module copy_side #(
  parameter Block         = 16,
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
  input  wire [2:0]                   packet_valid_i,
  output wire [2:0]                   packet_ready_o,
  input  wire [1535:0]                packet_i,
  output wire [2:0]                   done_o,
  output wire [2:0]                   active_o,
  output wire [2:0]                   error_o,
  output wire [2:0]                   index_o,
  // AXI
  output wire [WeightMasters-1:0]     weight_ar_valid_o,
  input  wire [WeightMasters-1:0]     weight_ar_ready_i,
  output wire [WeightMasters*64-1:0]  weight_ar_addr_o,
  output wire [WeightMasters*8-1:0]   weight_ar_len_o,
  input  wire [WeightMasters-1:0]     weight_r_valid_i,
  output wire [WeightMasters-1:0]     weight_r_ready_o,
  input  wire [WeightMasters*256-1:0] weight_r_data_i,
  input  wire [WeightMasters-1:0]     weight_r_last_i,
  input  wire [WeightMasters-1:0]     weight_r_error_i,
  output wire [InMasters-1:0]         in_ar_valid_o,
  input  wire [InMasters-1:0]         in_ar_ready_i,
  output wire [InMasters*64-1:0]      in_ar_addr_o,
  output wire [InMasters*8-1:0]       in_ar_len_o,
  input  wire [InMasters-1:0]         in_r_valid_i,
  output wire [InMasters-1:0]         in_r_ready_o,
  input  wire [InMasters*256-1:0]     in_r_data_i,
  input  wire [InMasters-1:0]         in_r_last_i,
  input  wire [InMasters-1:0]         in_r_error_i,
  output wire [OutMasters-1:0]        out_aw_valid_o,
  input  wire [OutMasters-1:0]        out_aw_ready_i,
  output wire [OutMasters*64-1:0]     out_aw_addr_o,
  output wire [OutMasters*8-1:0]      out_aw_len_o,
  output wire [OutMasters-1:0]        out_w_valid_o,
  input  wire [OutMasters-1:0]        out_w_ready_i,
  output wire [OutMasters*256-1:0]    out_w_data_o,
  output wire [OutMasters*32-1:0]     out_w_strb_o,
  output wire [OutMasters-1:0]        out_w_last_o,
  input  wire [OutMasters-1:0]        out_b_valid_i,
  output wire [OutMasters-1:0]        out_b_ready_o,
  input  wire [OutMasters-1:0]        out_b_error_i,
  // noise: the other lanes, each to a bank; writes go to the last row of the activation memory
  input  wire [13:0]                  noise_rd_i,
  input  wire [55:0]                  noise_rd_bank_i,
  input  wire [3:0]                   noise_wr_i,
  input  wire [15:0]                  noise_wr_bank_i,
  input  wire                         noise_param_i,
  // the bench's own access, while nothing runs
  input  wire                         peek_i,
  input  wire                         poke_i,
  input  wire [31:0]                  peek_addr_i,
  input  wire [8*Block-1:0]           poke_data_i,
  output wire [8*Block-1:0]           peek_act_o,
  output wire [8*Block*Block-1:0]     peek_weight_o,
  output wire [64*Block-1:0]          peek_param_o
);

  localparam ActAw      = $clog2(ActWords);
  localparam WeightAw   = $clog2(WeightWords);
  localparam ParamAw    = $clog2(ParamWords);
  localparam WordBits   = 8 * Block;
  localparam Columns    = Block * Block / 32;
  localparam LoadLanes  = InMasters * 32 / Block;
  localparam StoreLanes = OutMasters * 32 / Block;
  localparam Readers    = 14 + StoreLanes + LoadLanes;
  localparam Writers    = 4 + LoadLanes;

  wire [Readers-1:0]          rd_valid, rd_grant, rd_word;
  wire [Readers*ActAw-1:0]    rd_addr;
  wire [Readers*WordBits-1:0] rd_data;
  wire [Writers-1:0]          wr_valid, wr_grant;
  wire [Writers*ActAw-1:0]    wr_addr;
  wire [Writers*WordBits-1:0] wr_data;

  assign rd_valid[13:0]         = {noise_rd_i[13:1], peek_i || noise_rd_i[0]};
  assign wr_valid[3:0]          = {noise_wr_i[3:1], poke_i || noise_wr_i[0]};
  assign wr_data[4*WordBits-1:0] = {4{poke_data_i}};
  assign peek_act_o             = rd_data[WordBits-1:0];

  genvar g;
  generate
    for (g = 0; g < 14; g = g + 1) begin : g_noise_rd
      assign rd_addr[g*ActAw +: ActAw] = peek_i ? peek_addr_i[ActAw-1:0]
                                                : {{(ActAw - 4){1'b0}}, noise_rd_bank_i[4*g +: 4]};
    end
    for (g = 0; g < 4; g = g + 1) begin : g_noise_wr
      assign wr_addr[g*ActAw +: ActAw] = poke_i ? peek_addr_i[ActAw-1:0]
                                                : {{(ActAw - 4){1'b1}}, noise_wr_bank_i[4*g +: 4]};
    end
  endgenerate

  vla_act_memory #(.Block(Block), .ActWords(ActWords), .Operands(8), .Readers(Readers), .Writers(Writers)) u_act_memory (
    .clk_i(clk_i), .rst_i(rst_i),
    .rd_valid_i(rd_valid), .rd_addr_i(rd_addr), .rd_grant_o(rd_grant), .rd_word_o(rd_word),
    .rd_data_o(rd_data),
    .wr_valid_i(wr_valid), .wr_addr_i(wr_addr), .wr_data_i(wr_data), .wr_grant_o(wr_grant)
  );

  wire [Columns-1:0]          weight_wr_en;
  wire [Columns*WeightAw-1:0] weight_wr_addr;
  wire [Columns*256-1:0]      weight_wr_data;
  vla_weight_memory #(.Block(Block), .WeightWords(WeightWords)) u_weight_memory (
    .clk_i(clk_i), .rst_i(rst_i),
    .rd_en_i(peek_i), .rd_addr_i(peek_addr_i[WeightAw-1:0]), .rd_data_o(peek_weight_o),
    .wr_en_i(weight_wr_en), .wr_addr_i(weight_wr_addr), .wr_data_i(weight_wr_data)
  );

  wire               mask_valid, param_wr_en, param_wr_line;
  wire [2:0]         param_grant;
  wire [ParamAw-1:0] mask_addr, param_wr_addr;
  wire [511:0]       param_wr_data;
  vla_param_memory #(.Block(Block), .ParamWords(ParamWords)) u_param_memory (
    .clk_i(clk_i), .rst_i(rst_i),
    .rd_valid_i({mask_valid, noise_param_i, peek_i}),
    .rd_addr_i({mask_addr, {ParamAw{1'b0}}, peek_addr_i[ParamAw-1:0]}),
    .rd_grant_o(param_grant), .rd_data_o(peek_param_o),
    .wr_en_i(param_wr_en), .wr_addr_i(param_wr_addr), .wr_line_i(param_wr_line), .wr_data_i(param_wr_data)
  );

  assign index_o[0] = 1'b0;

  // In-master 0 is shared by the data loader (client 0) and data_to_param (client 1).
  wire [InMasters-1:0]    load_ar_valid, load_ar_ready, load_r_valid, load_r_ready;
  wire [InMasters*64-1:0] load_ar_addr;
  wire [InMasters*8-1:0]  load_ar_len;
  wire                    param_ar_valid, param_ar_ready, param_r_valid, param_r_ready, r_last, r_error;
  wire [63:0]             param_ar_addr;
  wire [7:0]              param_ar_len;
  wire [255:0]            r_data;
  vla_read_arbiter #(.Clients(2)) u_arbiter (
    .clk_i(clk_i), .rst_i(rst_i),
    .ar_valid_i({param_ar_valid, load_ar_valid[0]}), .ar_ready_o({param_ar_ready, load_ar_ready[0]}),
    .ar_addr_i({param_ar_addr, load_ar_addr[63:0]}), .ar_len_i({param_ar_len, load_ar_len[7:0]}),
    .r_valid_o({param_r_valid, load_r_valid[0]}), .r_ready_i({param_r_ready, load_r_ready[0]}),
    .r_data_o(r_data), .r_last_o(r_last), .r_error_o(r_error),
    .m_ar_valid_o(in_ar_valid_o[0]), .m_ar_ready_i(in_ar_ready_i[0]),
    .m_ar_addr_o(in_ar_addr_o[63:0]), .m_ar_len_o(in_ar_len_o[7:0]),
    .m_r_valid_i(in_r_valid_i[0]), .m_r_ready_o(in_r_ready_o[0]), .m_r_data_i(in_r_data_i[255:0]),
    .m_r_last_i(in_r_last_i[0]), .m_r_error_i(in_r_error_i[0])
  );
  generate
    for (g = 1; g < InMasters; g = g + 1) begin : g_in
      assign in_ar_valid_o[g]          = load_ar_valid[g];
      assign load_ar_ready[g]          = in_ar_ready_i[g];
      assign in_ar_addr_o[64*g +: 64]  = load_ar_addr[64*g +: 64];
      assign in_ar_len_o[8*g +: 8]     = load_ar_len[8*g +: 8];
      assign load_r_valid[g]           = in_r_valid_i[g];
      assign in_r_ready_o[g]           = load_r_ready[g];
    end
  endgenerate

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
    .rd_valid_o   (rd_valid[14+StoreLanes +: LoadLanes]),
    .rd_addr_o    (rd_addr[(14+StoreLanes)*ActAw +: LoadLanes*ActAw]),
    .rd_grant_i   (rd_grant[14+StoreLanes +: LoadLanes]),
    .rd_word_i    (rd_word[14+StoreLanes +: LoadLanes]),
    .rd_data_i    (rd_data[(14+StoreLanes)*WordBits +: LoadLanes*WordBits]),
    .out_valid_o  (copy_word_valid),
    .out_ready_i  ({2'b11, copy_word_ready}),
    .out_data_o   (copy_word_data),
    .out_note_o   (copy_word_note)
  );

  vla_weight_loader #(
    .Lanes(LoadLanes), .ActWords(ActWords),
    .Block(Block), .WeightWords(WeightWords), .ParamWords(ParamWords), .WeightMasters(WeightMasters)
  ) u_weight_loader (
    .clk_i(clk_i), .rst_i(rst_i), .data_bases_i(data_bases_i), .weight_bases_i(weight_bases_i),
    .packet_valid_i(packet_valid_i[0]), .packet_ready_o(packet_ready_o[0]), .packet_i(packet_i[511:0]),
    .done_o(done_o[0]), .active_o(active_o[0]),
    .ar_valid_o(weight_ar_valid_o), .ar_ready_i(weight_ar_ready_i), .ar_addr_o(weight_ar_addr_o),
    .ar_len_o(weight_ar_len_o), .r_valid_i(weight_r_valid_i), .r_ready_o(weight_r_ready_o),
    .r_data_i(weight_r_data_i), .r_last_i(weight_r_last_i), .r_error_i(weight_r_error_i),
    .data_ar_valid_o(param_ar_valid), .data_ar_ready_i(param_ar_ready), .data_ar_addr_o(param_ar_addr),
    .data_ar_len_o(param_ar_len), .data_r_valid_i(param_r_valid), .data_r_ready_o(param_r_ready),
    .data_r_data_i(r_data), .data_r_last_i(r_last), .data_r_error_i(r_error), .axi_error_o(error_o[0]),
    .key_valid_o(copy_valid[1]),
    .key_ready_i(copy_ready[1]),
    .key_addr_o(copy_addr[2*ActAw-1:ActAw]),
    .key_note_o(key_note),
    .key_word_valid_i(copy_word_valid[1]),
    .key_word_data_i(copy_word_data),
    .key_word_note_i(copy_word_note[KeyNote-1:0]),
    .weight_wr_en_o(weight_wr_en), .weight_wr_addr_o(weight_wr_addr), .weight_wr_data_o(weight_wr_data),
    .param_rd_valid_o(mask_valid), .param_rd_addr_o(mask_addr), .param_rd_grant_i(param_grant[2]),
    .param_rd_data_i(peek_param_o),
    .param_wr_en_o(param_wr_en), .param_wr_addr_o(param_wr_addr), .param_wr_line_o(param_wr_line),
    .param_wr_data_o(param_wr_data)
  );

  wire [InMasters*256-1:0] load_r_data;
  wire [InMasters-1:0]     load_r_last, load_r_error;
  generate
    if (InMasters == 1) begin : g_one_in
      assign load_r_data  = r_data;
      assign load_r_last  = r_last;
      assign load_r_error = r_error;
    end else begin : g_more_in
      assign load_r_data  = {in_r_data_i[InMasters*256-1:256], r_data};
      assign load_r_last  = {in_r_last_i[InMasters-1:1], r_last};
      assign load_r_error = {in_r_error_i[InMasters-1:1], r_error};
    end
  endgenerate

  vla_data_loader #(.Block(Block), .ActWords(ActWords), .InMasters(InMasters)) u_data_loader (
    .clk_i(clk_i), .rst_i(rst_i), .data_bases_i(data_bases_i),
    .packet_valid_i(packet_valid_i[1]), .packet_ready_o(packet_ready_o[1]), .packet_i(packet_i[1023:512]),
    .done_o(done_o[1]), .active_o(active_o[1]),
    .ar_valid_o(load_ar_valid), .ar_ready_i(load_ar_ready), .ar_addr_o(load_ar_addr), .ar_len_o(load_ar_len),
    .r_valid_i(load_r_valid), .r_ready_o(load_r_ready), .r_data_i(load_r_data), .r_last_i(load_r_last),
    .r_error_i(load_r_error), .axi_error_o(error_o[1]), .index_error_o(index_o[1]),
    .copy_valid_o(copy_valid[0]),
    .copy_ready_i(copy_ready[0]),
    .copy_addr_o(copy_addr[ActAw-1:0]),
    .copy_offsets_o(copy_offsets),
    .copy_words_o(copy_words),
    .copy_skip_o(copy_skip),
    .copy_note_o(copy_note),
    .copy_word_valid_i(copy_word_valid[0]),
    .copy_word_ready_o(copy_word_ready),
    .copy_word_data_i(copy_word_data),
    .copy_word_note_i(copy_word_note[ActAw+3:0]),
    .item_valid_o(copy_valid[2]),
    .item_ready_i(copy_ready[2]),
    .item_addr_o(copy_addr[3*ActAw-1:2*ActAw]),
    .item_word_valid_i(copy_word_valid[2]),
    .wr_valid_o(wr_valid[4 +: LoadLanes]), .wr_addr_o(wr_addr[4*ActAw +: LoadLanes*ActAw]),
    .wr_data_o(wr_data[4*WordBits +: LoadLanes*WordBits]), .wr_grant_i(wr_grant[4 +: LoadLanes])
  );

  vla_store_engine #(.Block(Block), .ActWords(ActWords), .OutMasters(OutMasters)) u_store_engine (
    .clk_i(clk_i), .rst_i(rst_i), .data_bases_i(data_bases_i),
    .packet_valid_i(packet_valid_i[2]), .packet_ready_o(packet_ready_o[2]), .packet_i(packet_i[1535:1024]),
    .done_o(done_o[2]), .active_o(active_o[2]),
    .aw_valid_o(out_aw_valid_o), .aw_ready_i(out_aw_ready_i), .aw_addr_o(out_aw_addr_o),
    .aw_len_o(out_aw_len_o), .w_valid_o(out_w_valid_o), .w_ready_i(out_w_ready_i), .w_data_o(out_w_data_o),
    .w_strb_o(out_w_strb_o), .w_last_o(out_w_last_o), .b_valid_i(out_b_valid_i), .b_ready_o(out_b_ready_o),
    .b_error_i(out_b_error_i), .axi_error_o(error_o[2]), .index_error_o(index_o[2]),
    .rd_valid_o(rd_valid[14 +: StoreLanes]), .rd_addr_o(rd_addr[14*ActAw +: StoreLanes*ActAw]),
    .rd_grant_i(rd_grant[14 +: StoreLanes]), .rd_word_i(rd_word[14 +: StoreLanes]),
    .rd_data_i(rd_data[14*WordBits +: StoreLanes*WordBits])
  );

endmodule
`default_nettype wire
