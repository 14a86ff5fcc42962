// Every AXI master of the machine keeps its address and write channels until they are taken, and its bursts
// have at most 128 beats inside one 4 KB page.
`default_nettype none
module vla_core_sva #(
  parameter int WeightMasters = 1,
  parameter int InMasters     = 1,
  parameter int OutMasters    = 1
) (
  input wire                         clk_i,
  input wire                         rst_i,
  input wire [WeightMasters-1:0]     m_axi_weight_arvalid,
  input wire [WeightMasters-1:0]     m_axi_weight_arready,
  input wire [WeightMasters*64-1:0]  m_axi_weight_araddr,
  input wire [WeightMasters*8-1:0]   m_axi_weight_arlen,
  input wire [InMasters-1:0]         m_axi_in_arvalid,
  input wire [InMasters-1:0]         m_axi_in_arready,
  input wire [InMasters*64-1:0]      m_axi_in_araddr,
  input wire [InMasters*8-1:0]       m_axi_in_arlen,
  input wire [OutMasters-1:0]        m_axi_out_awvalid,
  input wire [OutMasters-1:0]        m_axi_out_awready,
  input wire [OutMasters*64-1:0]     m_axi_out_awaddr,
  input wire [OutMasters*8-1:0]      m_axi_out_awlen,
  input wire [OutMasters-1:0]        m_axi_out_wvalid,
  input wire [OutMasters-1:0]        m_axi_out_wready,
  input wire [OutMasters*256-1:0]    m_axi_out_wdata,
  input wire [OutMasters*32-1:0]     m_axi_out_wstrb,
  input wire [OutMasters-1:0]        m_axi_out_wlast
);

  localparam int Masters = WeightMasters + InMasters + OutMasters;

  // all address channels side by side, then all addresses and lengths
  wire [Masters-1:0]    valid = {m_axi_out_awvalid, m_axi_in_arvalid, m_axi_weight_arvalid};
  wire [Masters-1:0]    ready = {m_axi_out_awready, m_axi_in_arready, m_axi_weight_arready};
  wire [Masters*64-1:0] addr  = {m_axi_out_awaddr, m_axi_in_araddr, m_axi_weight_araddr};
  wire [Masters*8-1:0]  len   = {m_axi_out_awlen, m_axi_in_arlen, m_axi_weight_arlen};

  vla_stream_sva #(.Lanes(Masters), .Width(64)) u_address (
    .clk_i, .rst_i, .valid_i(valid), .ready_i(ready), .payload_i(addr)
  );
  vla_stream_sva #(.Lanes(Masters), .Width(8)) u_length (
    .clk_i, .rst_i, .valid_i(valid), .ready_i(ready), .payload_i(len)
  );
  vla_stream_sva #(.Lanes(OutMasters), .Width(256)) u_write_data (
    .clk_i, .rst_i, .valid_i(m_axi_out_wvalid), .ready_i(m_axi_out_wready),
    .payload_i(m_axi_out_wdata)
  );
  vla_stream_sva #(.Lanes(OutMasters), .Width(32)) u_write_strobe (
    .clk_i, .rst_i, .valid_i(m_axi_out_wvalid), .ready_i(m_axi_out_wready),
    .payload_i(m_axi_out_wstrb)
  );
  vla_stream_sva #(.Lanes(OutMasters), .Width(1)) u_write_last (
    .clk_i, .rst_i, .valid_i(m_axi_out_wvalid), .ready_i(m_axi_out_wready),
    .payload_i(m_axi_out_wlast)
  );

  for (genvar m = 0; m < Masters; m++) begin : g_master
    wire [12:0] end_of_burst = {1'b0, addr[64*m +: 12]} + ({5'd0, len[8*m +: 8]} + 13'd1) * 13'd32;

    burst_in_page : assert property (
      @(posedge clk_i) disable iff (rst_i) valid[m] |-> end_of_burst <= 13'd4096 && len[8*m +: 8] < 8'd128
    ) else $error("%m: a burst leaves its 4 KB page");

    burst_aligned : assert property (
      @(posedge clk_i) disable iff (rst_i) valid[m] |-> addr[64*m +: 5] == 5'd0
    ) else $error("%m: a burst does not start at a beat");
  end

endmodule

bind vla_core vla_core_sva #(
  .WeightMasters(WeightMasters),
  .InMasters    (InMasters),
  .OutMasters   (OutMasters)
) u_sva (.*);
`default_nettype wire
