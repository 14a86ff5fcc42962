// Several read clients on one AXI4 read master.
// Does: pass whole bursts, the clients in turn (round robin); route the beats back in the order of the
// bursts; keep at most InFlight bursts outstanding.
// Does not: cut or check bursts (clients ask for at most 128 beats inside 4 KB), or store data: a client
// that does not take its beat holds up the beats behind it.
// Latency: none added; addresses and beats pass through combinationally.
// Handshake: a client holds ar_valid and its address until ar_ready; the choice stays until the master
// takes it. r_data, r_last and r_error are shared by all clients, r_valid says whose beat it is.
`default_nettype none
module vla_read_arbiter #(
  parameter Clients  = 3,  // read clients, 2 to 4
  parameter InFlight = 8   // bursts outstanding, a power of two
) (
  input  wire                   clk_i,
  input  wire                   rst_i,
  // clients
  input  wire [Clients-1:0]     ar_valid_i,
  output wire [Clients-1:0]     ar_ready_o,
  input  wire [Clients*64-1:0]  ar_addr_i,
  input  wire [Clients*8-1:0]   ar_len_i,
  output wire [Clients-1:0]     r_valid_o,
  input  wire [Clients-1:0]     r_ready_i,
  output wire [255:0]           r_data_o,
  output wire                   r_last_o,
  output wire                   r_error_o,
  // AXI master
  output wire                   m_ar_valid_o,
  input  wire                   m_ar_ready_i,
  output wire [63:0]            m_ar_addr_o,
  output wire [7:0]             m_ar_len_o,
  input  wire                   m_r_valid_i,
  output wire                   m_r_ready_o,
  input  wire [255:0]           m_r_data_i,
  input  wire                   m_r_last_i,
  input  wire                   m_r_error_i
);

  localparam Aw = $clog2(Clients);

  // Addresses: the first client at or after turn_q that asks; kept while the master makes it wait.
  reg  [Aw-1:0] turn_q;    // where the search starts
  reg           locked_q;  // an address was offered and not taken
  reg  [Aw-1:0] held_q;    // whose
  wire          order_ready;

  // The first client at or after `from` that asks; `from` where none does.
  function [Aw-1:0] next_client;
    input [Clients-1:0] valid;
    input [Aw-1:0]      from;
    integer i, c;
    begin
      next_client = from;
      for (i = Clients - 1; i >= 0; i = i - 1) begin
        c = {{(32 - Aw){1'b0}}, from} + i;
        if (c >= Clients) c = c - Clients;
        if (valid[c[Aw-1:0]]) next_client = c[Aw-1:0];
      end
    end
  endfunction

  wire [Aw-1:0] first = next_client(ar_valid_i, turn_q);
  wire [Aw-1:0] choice = locked_q ? held_q : first;
  assign m_ar_valid_o = ar_valid_i[choice] && order_ready;
  wire          ar_fire = m_ar_valid_o && m_ar_ready_i;

  always @(posedge clk_i) begin
    if (rst_i) begin
      turn_q   <= {Aw{1'b0}};
      locked_q <= 1'b0;
      held_q   <= {Aw{1'b0}};
    end else begin
      locked_q <= m_ar_valid_o && !m_ar_ready_i;
      held_q   <= choice;
      if (ar_fire) turn_q <= choice == Clients[Aw-1:0] - 1'b1 ? {Aw{1'b0}} : choice + 1'b1;
    end
  end

  // The address and length of a client.
  function [71:0] burst_of;
    input [Aw-1:0]         client;
    input [Clients*64-1:0] addr;
    input [Clients*8-1:0]  len;
    integer j;
    begin
      burst_of = 72'd0;
      for (j = 0; j < Clients; j = j + 1) begin
        burst_of = burst_of | ({72{client == j[Aw-1:0]}} & {addr[j*64 +: 64], len[j*8 +: 8]});
      end
    end
  endfunction

  assign {m_ar_addr_o, m_ar_len_o} = burst_of(choice, ar_addr_i, ar_len_i);

  // Beats: the burst at the head of the order says whose they are.
  wire          order_valid;
  wire [Aw-1:0] owner;
  vla_fifo #(.Width(Aw), .Depth(InFlight)) u_order (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(ar_fire), .in_ready_o(order_ready), .in_data_i(choice),
    .out_valid_o(order_valid), .out_ready_i(m_r_valid_i && m_r_ready_o && m_r_last_i), .out_data_o(owner)
  );

  assign m_r_ready_o = order_valid && r_ready_i[owner];
  assign r_data_o    = m_r_data_i;
  assign r_last_o    = m_r_last_i;
  assign r_error_o   = m_r_error_i;

  genvar g;
  generate
    for (g = 0; g < Clients; g = g + 1) begin : g_client
      assign ar_ready_o[g] = ar_fire && choice == g;
      assign r_valid_o[g]  = m_r_valid_i && order_valid && owner == g;
    end

    if (Clients < 2 || Clients > 4) begin : g_check
      vla_bad_parameter_arbiter_clients_2_to_4 u_bad ();
    end
  endgenerate

endmodule
`default_nettype wire
