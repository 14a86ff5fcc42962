// The machine: control, dispatch, the datapath (engines and on-chip memories) and the AXI ports.
// Does: wire them as rtl/README.md draws it; share in-master 0 between the data loader, data_to_param and
// fetch; count.
// Does not: hold state of its own, or know a hardware config by name (parameters; defaults are `u50`).
// Interface: one clock, synchronous reset; AXI4-Lite slave; AXI4 masters of 256 bits in three groups, the
// signals of a group's masters side by side in one vector; interrupt_o is level, see vla_control.
`default_nettype none
`include "vla_isa.vh"
module vla_core #(
  parameter Pixels        = 8,       // PP, output pixels at once
  parameter Block         = 16,      // B, channels of a channel block
  parameter RequantPixels = 4,       // pixels requantized per cycle: 2, 4 or 8, at most Pixels
  parameter ActWords      = 131072,  // activation scratchpad, words of B bytes
  parameter WeightWords   = 8192,    // weight scratchpad, words of B*B bytes
  parameter ParamWords    = 2048,    // parameter memory, words of 8*B bytes
  parameter WeightMasters = 8,       // AXI masters, 256 bits each
  parameter InMasters     = 2,
  parameter OutMasters    = 2,
  parameter QueueDepth    = 8        // packets per queue
) (
  input  wire                         clk_i,
  input  wire                         rst_i,
  output wire                         interrupt_o,
  // AXI4-Lite slave
  input  wire                         s_axi_control_awvalid,
  output wire                         s_axi_control_awready,
  input  wire [11:0]                  s_axi_control_awaddr,
  input  wire                         s_axi_control_wvalid,
  output wire                         s_axi_control_wready,
  input  wire [31:0]                  s_axi_control_wdata,
  input  wire [3:0]                   s_axi_control_wstrb,
  output wire                         s_axi_control_bvalid,
  input  wire                         s_axi_control_bready,
  output wire [1:0]                   s_axi_control_bresp,
  input  wire                         s_axi_control_arvalid,
  output wire                         s_axi_control_arready,
  input  wire [11:0]                  s_axi_control_araddr,
  output wire                         s_axi_control_rvalid,
  input  wire                         s_axi_control_rready,
  output wire [31:0]                  s_axi_control_rdata,
  output wire [1:0]                   s_axi_control_rresp,
  // weight space, read
  output wire [WeightMasters-1:0]     m_axi_weight_arvalid,
  input  wire [WeightMasters-1:0]     m_axi_weight_arready,
  output wire [WeightMasters*64-1:0]  m_axi_weight_araddr,
  output wire [WeightMasters*8-1:0]   m_axi_weight_arlen,
  output wire [WeightMasters*3-1:0]   m_axi_weight_arsize,
  output wire [WeightMasters*2-1:0]   m_axi_weight_arburst,
  output wire [WeightMasters*4-1:0]   m_axi_weight_arcache,
  output wire [WeightMasters*3-1:0]   m_axi_weight_arprot,
  output wire [WeightMasters-1:0]     m_axi_weight_arid,
  input  wire [WeightMasters-1:0]     m_axi_weight_rvalid,
  output wire [WeightMasters-1:0]     m_axi_weight_rready,
  input  wire [WeightMasters*256-1:0] m_axi_weight_rdata,
  input  wire [WeightMasters-1:0]     m_axi_weight_rlast,
  input  wire [WeightMasters*2-1:0]   m_axi_weight_rresp,
  input  wire [WeightMasters-1:0]     m_axi_weight_rid,
  // data space, read
  output wire [InMasters-1:0]         m_axi_in_arvalid,
  input  wire [InMasters-1:0]         m_axi_in_arready,
  output wire [InMasters*64-1:0]      m_axi_in_araddr,
  output wire [InMasters*8-1:0]       m_axi_in_arlen,
  output wire [InMasters*3-1:0]       m_axi_in_arsize,
  output wire [InMasters*2-1:0]       m_axi_in_arburst,
  output wire [InMasters*4-1:0]       m_axi_in_arcache,
  output wire [InMasters*3-1:0]       m_axi_in_arprot,
  output wire [InMasters-1:0]         m_axi_in_arid,
  input  wire [InMasters-1:0]         m_axi_in_rvalid,
  output wire [InMasters-1:0]         m_axi_in_rready,
  input  wire [InMasters*256-1:0]     m_axi_in_rdata,
  input  wire [InMasters-1:0]         m_axi_in_rlast,
  input  wire [InMasters*2-1:0]       m_axi_in_rresp,
  input  wire [InMasters-1:0]         m_axi_in_rid,
  // data space, write
  output wire [OutMasters-1:0]        m_axi_out_awvalid,
  input  wire [OutMasters-1:0]        m_axi_out_awready,
  output wire [OutMasters*64-1:0]     m_axi_out_awaddr,
  output wire [OutMasters*8-1:0]      m_axi_out_awlen,
  output wire [OutMasters*3-1:0]      m_axi_out_awsize,
  output wire [OutMasters*2-1:0]      m_axi_out_awburst,
  output wire [OutMasters*4-1:0]      m_axi_out_awcache,
  output wire [OutMasters*3-1:0]      m_axi_out_awprot,
  output wire [OutMasters-1:0]        m_axi_out_awid,
  output wire [OutMasters-1:0]        m_axi_out_wvalid,
  input  wire [OutMasters-1:0]        m_axi_out_wready,
  output wire [OutMasters*256-1:0]    m_axi_out_wdata,
  output wire [OutMasters*32-1:0]     m_axi_out_wstrb,
  output wire [OutMasters-1:0]        m_axi_out_wlast,
  input  wire [OutMasters-1:0]        m_axi_out_bvalid,
  output wire [OutMasters-1:0]        m_axi_out_bready,
  input  wire [OutMasters*2-1:0]      m_axi_out_bresp,
  input  wire [OutMasters-1:0]        m_axi_out_bid
);

  // control
  wire                        start;
  wire                        running;
  wire                        done;
  wire [31:0]                 entry;
  wire [64*`VLA_DATA_CHANNELS-1:0] data_bases;
  wire [64*`VLA_WEIGHT_BASES-1:0] weight_bases;
  wire [3:0]                  status;
  wire [37:0]                 error_addr;
  wire [31:0]                 halt_code;
  wire [64*`VLA_COUNTERS-1:0] counters;

  vla_control u_control (
    .clk_i        (clk_i),
    .rst_i        (rst_i),
    .s_axi_awvalid(s_axi_control_awvalid),
    .s_axi_awready(s_axi_control_awready),
    .s_axi_awaddr (s_axi_control_awaddr),
    .s_axi_wvalid (s_axi_control_wvalid),
    .s_axi_wready (s_axi_control_wready),
    .s_axi_wdata  (s_axi_control_wdata),
    .s_axi_wstrb  (s_axi_control_wstrb),
    .s_axi_bvalid (s_axi_control_bvalid),
    .s_axi_bready (s_axi_control_bready),
    .s_axi_bresp  (s_axi_control_bresp),
    .s_axi_arvalid(s_axi_control_arvalid),
    .s_axi_arready(s_axi_control_arready),
    .s_axi_araddr (s_axi_control_araddr),
    .s_axi_rvalid (s_axi_control_rvalid),
    .s_axi_rready (s_axi_control_rready),
    .s_axi_rdata  (s_axi_control_rdata),
    .s_axi_rresp  (s_axi_control_rresp),
    .start_o      (start),
    .entry_o      (entry),
    .data_bases_o (data_bases),
    .weight_bases_o(weight_bases),
    .done_i       (done),
    .status_i     (status),
    .error_addr_i (error_addr),
    .halt_code_i  (halt_code),
    .counters_i   (counters),
    .running_o    (running),
    .interrupt_o  (interrupt_o)
  );

  // dispatch
  wire [4:0]    packet_valid;
  wire [4:0]    packet_ready;
  wire [2559:0] packet;
  wire [4:0]    engine_done;
  wire [4:0]    active;
  wire          wload_error;
  wire          load_error;
  wire          store_error;
  wire          load_index;
  wire          store_index;
  wire [4:0]    retired;
  wire          item_rd_valid;  // the item of a SET
  wire [$clog2(ActWords)-1:0] item_rd_addr;
  wire          item_rd_grant;
  wire          item_rd_word;
  wire [31:0]   item_rd_data;

  // what shares in-master 0 with the data loader: 0 data_to_param, 1 fetch
  wire [1:0]             share_ar_valid;
  wire [1:0]             share_ar_ready;
  wire [127:0]           share_ar_addr;
  wire [15:0]            share_ar_len;
  wire [1:0]             share_r_valid;
  wire [1:0]             share_r_ready;
  // beats of each in-master
  wire [InMasters*256-1:0] in_r_data;
  wire [InMasters-1:0]     in_r_last;
  wire [InMasters-1:0]     in_r_error;

  vla_core_dispatch #(
    .ActWords   (ActWords),
    .WeightWords(WeightWords),
    .ParamWords (ParamWords),
    .QueueDepth (QueueDepth)
  ) u_dispatch (
    .clk_i         (clk_i),
    .rst_i         (rst_i),
    .start_i       (start),
    .entry_i       (entry),
    .data_bases_i  (data_bases),
    .done_o        (done),
    .status_o      (status),
    .error_addr_o  (error_addr),
    .halt_code_o   (halt_code),
    .retired_o     (retired),
    .ar_valid_o    (share_ar_valid[1]),
    .ar_ready_i    (share_ar_ready[1]),
    .ar_addr_o     (share_ar_addr[127:64]),
    .ar_len_o      (share_ar_len[15:8]),
    .r_valid_i     (share_r_valid[1]),
    .r_ready_o     (share_r_ready[1]),
    .r_data_i      (in_r_data[255:0]),
    .r_last_i      (in_r_last[0]),
    .r_error_i     (in_r_error[0]),
    .item_rd_valid_o(item_rd_valid),
    .item_rd_addr_o(item_rd_addr),
    .item_rd_grant_i(item_rd_grant),
    .item_rd_word_i(item_rd_word),
    .item_rd_data_i(item_rd_data),
    .packet_valid_o(packet_valid),
    .packet_ready_i(packet_ready),
    .packet_o      (packet),
    .done_i        (engine_done),
    .active_i      (active),
    .wload_error_i (wload_error),
    .load_error_i  (load_error),
    .store_error_i (store_error),
    .load_index_i  (load_index),
    .store_index_i (store_index)
  );

  // datapath
  wire                        mac_busy;
  wire                        act_conflict;
  wire [InMasters-1:0]        load_ar_valid;
  wire [InMasters-1:0]        load_ar_ready;
  wire [InMasters*64-1:0]     load_ar_addr;
  wire [InMasters*8-1:0]      load_ar_len;
  wire [InMasters-1:0]        load_r_valid;
  wire [InMasters-1:0]        load_r_ready;
  wire [WeightMasters-1:0]    weight_r_error;
  wire [OutMasters-1:0]       out_b_error;

  vla_core_datapath #(
    .Pixels       (Pixels),
    .Block        (Block),
    .RequantPixels(RequantPixels),
    .ActWords     (ActWords),
    .WeightWords  (WeightWords),
    .ParamWords   (ParamWords),
    .WeightMasters(WeightMasters),
    .InMasters    (InMasters),
    .OutMasters   (OutMasters)
  ) u_datapath (
    .clk_i            (clk_i),
    .rst_i            (rst_i),
    .data_bases_i     (data_bases),
    .weight_bases_i   (weight_bases[64*WeightMasters-1:0]),
    .packet_valid_i   (packet_valid),
    .packet_ready_o   (packet_ready),
    .packet_i         (packet),
    .done_o           (engine_done),
    .active_o         (active),
    .wload_error_o    (wload_error),
    .load_error_o     (load_error),
    .store_error_o    (store_error),
    .load_index_o     (load_index),
    .store_index_o    (store_index),
    .item_rd_valid_i  (item_rd_valid),
    .item_rd_addr_i   (item_rd_addr),
    .item_rd_grant_o  (item_rd_grant),
    .item_rd_word_o   (item_rd_word),
    .item_rd_data_o   (item_rd_data),
    .mac_busy_o       (mac_busy),
    .act_conflict_o   (act_conflict),
    .weight_ar_valid_o(m_axi_weight_arvalid),
    .weight_ar_ready_i(m_axi_weight_arready),
    .weight_ar_addr_o (m_axi_weight_araddr),
    .weight_ar_len_o  (m_axi_weight_arlen),
    .weight_r_valid_i (m_axi_weight_rvalid),
    .weight_r_ready_o (m_axi_weight_rready),
    .weight_r_data_i  (m_axi_weight_rdata),
    .weight_r_last_i  (m_axi_weight_rlast),
    .weight_r_error_i (weight_r_error),
    .load_ar_valid_o  (load_ar_valid),
    .load_ar_ready_i  (load_ar_ready),
    .load_ar_addr_o   (load_ar_addr),
    .load_ar_len_o    (load_ar_len),
    .load_r_valid_i   (load_r_valid),
    .load_r_ready_o   (load_r_ready),
    .load_r_data_i    (in_r_data),
    .load_r_last_i    (in_r_last),
    .load_r_error_i   (in_r_error),
    .param_ar_valid_o (share_ar_valid[0]),
    .param_ar_ready_i (share_ar_ready[0]),
    .param_ar_addr_o  (share_ar_addr[63:0]),
    .param_ar_len_o   (share_ar_len[7:0]),
    .param_r_valid_i  (share_r_valid[0]),
    .param_r_ready_o  (share_r_ready[0]),
    .param_r_data_i   (in_r_data[255:0]),
    .param_r_last_i   (in_r_last[0]),
    .param_r_error_i  (in_r_error[0]),
    .store_aw_valid_o (m_axi_out_awvalid),
    .store_aw_ready_i (m_axi_out_awready),
    .store_aw_addr_o  (m_axi_out_awaddr),
    .store_aw_len_o   (m_axi_out_awlen),
    .store_w_valid_o  (m_axi_out_wvalid),
    .store_w_ready_i  (m_axi_out_wready),
    .store_w_data_o   (m_axi_out_wdata),
    .store_w_strb_o   (m_axi_out_wstrb),
    .store_w_last_o   (m_axi_out_wlast),
    .store_b_valid_i  (m_axi_out_bvalid),
    .store_b_ready_o  (m_axi_out_bready),
    .store_b_error_i  (out_b_error)
  );

  vla_core_in_masters #(
    .InMasters(InMasters)
  ) u_in_masters (
    .clk_i           (clk_i),
    .rst_i           (rst_i),
    .load_ar_valid_i (load_ar_valid),
    .load_ar_ready_o (load_ar_ready),
    .load_ar_addr_i  (load_ar_addr),
    .load_ar_len_i   (load_ar_len),
    .load_r_valid_o  (load_r_valid),
    .load_r_ready_i  (load_r_ready),
    .share_ar_valid_i(share_ar_valid),
    .share_ar_ready_o(share_ar_ready),
    .share_ar_addr_i (share_ar_addr),
    .share_ar_len_i  (share_ar_len),
    .share_r_valid_o (share_r_valid),
    .share_r_ready_i (share_r_ready),
    .r_data_o        (in_r_data),
    .r_last_o        (in_r_last),
    .r_error_o       (in_r_error),
    .m_ar_valid_o    (m_axi_in_arvalid),
    .m_ar_ready_i    (m_axi_in_arready),
    .m_ar_addr_o     (m_axi_in_araddr),
    .m_ar_len_o      (m_axi_in_arlen),
    .m_r_valid_i     (m_axi_in_rvalid),
    .m_r_ready_o     (m_axi_in_rready),
    .m_r_data_i      (m_axi_in_rdata),
    .m_r_last_i      (m_axi_in_rlast),
    .m_r_resp_i      (m_axi_in_rresp)
  );

  genvar g;
  generate
    for (g = 0; g < WeightMasters; g = g + 1) begin : g_weight
      assign weight_r_error[g] = m_axi_weight_rresp[2*g + 1];
    end
    for (g = 0; g < OutMasters; g = g + 1) begin : g_out
      assign out_b_error[g] = m_axi_out_bresp[2*g + 1];
    end
  endgenerate

  // AXI constants: beats of 32 bytes, incrementing, normal bufferable memory, data access, one ID
  assign m_axi_weight_arsize  = {WeightMasters{3'd5}};
  assign m_axi_weight_arburst = {WeightMasters{2'd1}};
  assign m_axi_weight_arcache = {WeightMasters{4'd3}};
  assign m_axi_weight_arprot  = {WeightMasters{3'd0}};
  assign m_axi_weight_arid    = {WeightMasters{1'd0}};
  assign m_axi_in_arsize      = {InMasters{3'd5}};
  assign m_axi_in_arburst     = {InMasters{2'd1}};
  assign m_axi_in_arcache     = {InMasters{4'd3}};
  assign m_axi_in_arprot      = {InMasters{3'd0}};
  assign m_axi_in_arid        = {InMasters{1'd0}};
  assign m_axi_out_awsize     = {OutMasters{3'd5}};
  assign m_axi_out_awburst    = {OutMasters{2'd1}};
  assign m_axi_out_awcache    = {OutMasters{4'd3}};
  assign m_axi_out_awprot     = {OutMasters{3'd0}};
  assign m_axi_out_awid       = {OutMasters{1'd0}};

  // counters, in the order of vla_isa.registers.COUNTERS
  function [4:0] count;  // how many of some bits are set
    input [15:0] bits;
    integer i;
    begin
      count = 5'd0;
      for (i = 0; i < 16; i = i + 1) count = count + {4'd0, bits[i]};
    end
  endfunction

  wire [4:0] read_beats  = count({{(16-WeightMasters-InMasters){1'b0}}, m_axi_weight_rvalid & m_axi_weight_rready,
                                  m_axi_in_rvalid & m_axi_in_rready});
  wire [4:0] write_beats = count({{(16-OutMasters){1'b0}}, m_axi_out_wvalid & m_axi_out_wready});

  vla_control_counters #(
    .Counters(`VLA_COUNTERS),
    .AddBits (5)
  ) u_counters (
    .clk_i   (clk_i),
    .rst_i   (rst_i),
    .clear_i (start),
    .enable_i(running),
    .add_i   ({write_beats, read_beats, 4'd0, act_conflict, 4'd0, active[4], 4'd0, active[1],
               4'd0, active[0], 4'd0, active[3], 4'd0, active[2], 4'd0, mac_busy, retired, 5'd1}),
    .count_o (counters)
  );

  // one ID and error or not is all that is read of the answers
  wire unused_answers = &{1'b0, m_axi_weight_rid, m_axi_in_rid, m_axi_out_bid,
                          m_axi_weight_rresp, m_axi_out_bresp};
  wire unused_bases = ^weight_bases;

  generate
    if (Pixels != 2 && Pixels != 4 && Pixels != 8) begin : g_check_pixels
      vla_bad_parameter_pixels_2_4_or_8 u_bad ();
    end
    if (InMasters != 1 && InMasters != 2) begin : g_check_in
      vla_bad_parameter_in_masters_1_or_2 u_bad ();
    end
    if (OutMasters != 1 && OutMasters != 2) begin : g_check_out
      vla_bad_parameter_out_masters_1_or_2 u_bad ();
    end
    if (WeightMasters > 8 || (Block * Block / 32) % WeightMasters != 0) begin : g_check_weight
      vla_bad_parameter_weight_masters_divide_columns u_bad ();
    end
  endgenerate

endmodule
`default_nettype wire
