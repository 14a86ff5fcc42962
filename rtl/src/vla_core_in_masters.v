// The in-masters and who uses them: the data loader has one client per master, data_to_param (0) and fetch (1)
// share master 0 with it.
// Does: arbitrate master 0, pass the others through.
// Does not: store beats; r_data_o, r_last_o and r_error_o are those of the masters, valid says whose.
// Latency: none added. Handshake: see vla_read_arbiter.
`default_nettype none
module vla_core_in_masters #(
  parameter InMasters = 2
) (
  input  wire                     clk_i,
  input  wire                     rst_i,
  // data loader
  input  wire [InMasters-1:0]     load_ar_valid_i,
  output wire [InMasters-1:0]     load_ar_ready_o,
  input  wire [InMasters*64-1:0]  load_ar_addr_i,
  input  wire [InMasters*8-1:0]   load_ar_len_i,
  output wire [InMasters-1:0]     load_r_valid_o,
  input  wire [InMasters-1:0]     load_r_ready_i,
  // data_to_param and fetch
  input  wire [1:0]               share_ar_valid_i,
  output wire [1:0]               share_ar_ready_o,
  input  wire [127:0]             share_ar_addr_i,
  input  wire [15:0]              share_ar_len_i,
  output wire [1:0]               share_r_valid_o,
  input  wire [1:0]               share_r_ready_i,
  // beats of each master
  output wire [InMasters*256-1:0] r_data_o,
  output wire [InMasters-1:0]     r_last_o,
  output wire [InMasters-1:0]     r_error_o,
  // AXI masters
  output wire [InMasters-1:0]     m_ar_valid_o,
  input  wire [InMasters-1:0]     m_ar_ready_i,
  output wire [InMasters*64-1:0]  m_ar_addr_o,
  output wire [InMasters*8-1:0]   m_ar_len_o,
  input  wire [InMasters-1:0]     m_r_valid_i,
  output wire [InMasters-1:0]     m_r_ready_o,
  input  wire [InMasters*256-1:0] m_r_data_i,
  input  wire [InMasters-1:0]     m_r_last_i,
  input  wire [InMasters*2-1:0]   m_r_resp_i
);

  vla_read_arbiter #(
    .Clients (3),
    .InFlight(8)
  ) u_master_0 (
    .clk_i       (clk_i),
    .rst_i       (rst_i),
    .ar_valid_i  ({share_ar_valid_i, load_ar_valid_i[0]}),
    .ar_ready_o  ({share_ar_ready_o, load_ar_ready_o[0]}),
    .ar_addr_i   ({share_ar_addr_i, load_ar_addr_i[63:0]}),
    .ar_len_i    ({share_ar_len_i, load_ar_len_i[7:0]}),
    .r_valid_o   ({share_r_valid_o, load_r_valid_o[0]}),
    .r_ready_i   ({share_r_ready_i, load_r_ready_i[0]}),
    .r_data_o    (r_data_o[255:0]),
    .r_last_o    (r_last_o[0]),
    .r_error_o   (r_error_o[0]),
    .m_ar_valid_o(m_ar_valid_o[0]),
    .m_ar_ready_i(m_ar_ready_i[0]),
    .m_ar_addr_o (m_ar_addr_o[63:0]),
    .m_ar_len_o  (m_ar_len_o[7:0]),
    .m_r_valid_i (m_r_valid_i[0]),
    .m_r_ready_o (m_r_ready_o[0]),
    .m_r_data_i  (m_r_data_i[255:0]),
    .m_r_last_i  (m_r_last_i[0]),
    .m_r_error_i (m_r_resp_i[1])
  );

  genvar g;
  generate
    for (g = 1; g < InMasters; g = g + 1) begin : g_master
      assign m_ar_valid_o[g]         = load_ar_valid_i[g];
      assign m_ar_addr_o[64*g +: 64] = load_ar_addr_i[64*g +: 64];
      assign m_ar_len_o[8*g +: 8]    = load_ar_len_i[8*g +: 8];
      assign m_r_ready_o[g]          = load_r_ready_i[g];
      assign load_ar_ready_o[g]      = m_ar_ready_i[g];
      assign load_r_valid_o[g]       = m_r_valid_i[g];
      assign r_data_o[256*g +: 256]  = m_r_data_i[256*g +: 256];
      assign r_last_o[g]             = m_r_last_i[g];
      assign r_error_o[g]            = m_r_resp_i[2*g + 1];
    end
  endgenerate

  // OKAY or an error is all that is read of an answer
  wire unused_resp = &{1'b0, m_r_resp_i};

endmodule
`default_nettype wire
