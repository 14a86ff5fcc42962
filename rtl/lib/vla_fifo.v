// First-in first-out queue of Depth entries, ready/valid on both sides.
// Does: hold data in registers; accept and give one entry per cycle, also when full or with one entry.
// Does not: pass data through in the same cycle, or say how full it is.
// Latency: an entry accepted at one clock edge is on out_data_o after that edge (1 cycle).
// Handshake: a transfer happens when valid and ready are both high; in_ready_o and out_valid_o
// depend on registers only.
`default_nettype none
module vla_fifo #(
  parameter Width = 8,  // bits of an entry
  parameter Depth = 4   // entries, a power of two, at least 2
) (
  input  wire             clk_i,
  input  wire             rst_i,
  input  wire             in_valid_i,
  output wire             in_ready_o,
  input  wire [Width-1:0] in_data_i,
  output wire             out_valid_o,
  input  wire             out_ready_i,
  output wire [Width-1:0] out_data_o
);

  localparam Aw = $clog2(Depth);

  reg [Width-1:0] store_q [0:Depth-1];
  reg [Aw:0]      head_q;  // next entry out; the top bit tells full from empty
  reg [Aw:0]      tail_q;  // next entry in

  assign out_valid_o = head_q != tail_q;
  assign in_ready_o  = (head_q ^ tail_q) != {1'b1, {Aw{1'b0}}};
  assign out_data_o  = store_q[head_q[Aw-1:0]];

  wire take = in_valid_i && in_ready_o;
  wire give = out_valid_o && out_ready_i;

  always @(posedge clk_i) begin
    if (rst_i) begin
      head_q <= 0;
      tail_q <= 0;
    end else begin
      if (give) head_q <= head_q + 1'b1;
      if (take) tail_q <= tail_q + 1'b1;
    end
  end

  always @(posedge clk_i) begin
    if (take) store_q[tail_q[Aw-1:0]] <= in_data_i;
  end

  generate
    if (Depth < 2 || (Depth & (Depth - 1)) != 0) begin : g_check
      vla_bad_parameter_fifo_depth_power_of_two u_bad ();
    end
  endgenerate

endmodule
`default_nettype wire
