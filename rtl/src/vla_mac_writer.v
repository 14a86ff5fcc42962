// The two write lanes of the MAC engine.
// Does: join results with their addresses, both in order, and write a pair of words per cycle.
// Does not: refuse anything. Whoever writes into its queues keeps at most Depth pairs on the way.
// Latency: result in -> request 2 cycles.
// Handshake: freed_o when a pair leaves the queues; done_o when the last pair of a packet is written.
`default_nettype none
module vla_mac_writer #(
  parameter Block = 16,
  parameter ActAw = 17,
  parameter Depth = 32
) (
  input  wire                clk_i,
  input  wire                rst_i,
  input  wire                target_valid_i,
  input  wire                target_both_i,
  input  wire                target_last_i,
  input  wire [2*ActAw-1:0]  target_addr_i,
  input  wire                result_valid_i,
  input  wire [16*Block-1:0] result_i,
  output wire [1:0]          wr_valid_o,
  output wire [2*ActAw-1:0]  wr_addr_o,
  output wire [16*Block-1:0] wr_data_o,
  input  wire [1:0]          wr_grant_i,
  output wire                freed_o,
  output wire                done_o
);

  wire unused_target_ready, unused_result_ready, unused_target_valid;
  wire                result_valid, both, last;
  wire [2*ActAw-1:0]  addr;
  wire [16*Block-1:0] words;

  vla_fifo #(.Width(2*ActAw + 2), .Depth(Depth)) u_targets (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(target_valid_i), .in_ready_o(unused_target_ready),
    .in_data_i({target_both_i, target_last_i, target_addr_i}),
    .out_valid_o(unused_target_valid), .out_ready_i(freed_o), .out_data_o({both, last, addr})
  );

  vla_fifo #(.Width(16*Block), .Depth(Depth)) u_results (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(result_valid_i), .in_ready_o(unused_result_ready), .in_data_i(result_i),
    .out_valid_o(result_valid), .out_ready_i(freed_o), .out_data_o(words)
  );

  // The group at the lanes; the packet is written when the last one is.
  wire lanes_ready, idle;
  reg  ending_q;
  assign freed_o = result_valid && lanes_ready;
  assign done_o  = ending_q && idle;
  always @(posedge clk_i) begin
    if (rst_i || done_o) ending_q <= 1'b0;
    else if (freed_o && last) ending_q <= 1'b1;
  end

  vla_write_lanes #(.Block(Block), .ActAw(ActAw), .Lanes(2)) u_lanes (
    .clk_i(clk_i), .rst_i(rst_i),
    .group_valid_i(result_valid), .group_ready_o(lanes_ready), .group_lanes_i({both, 1'b1}),
    .group_addr_i(addr), .group_data_i(words), .idle_o(idle),
    .wr_valid_o(wr_valid_o), .wr_addr_o(wr_addr_o), .wr_data_o(wr_data_o), .wr_grant_i(wr_grant_i)
  );

endmodule
`default_nettype wire
