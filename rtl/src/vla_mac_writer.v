// The two write lanes of the MAC engine.
// Does: join results with their addresses, both in order, and write a pair of words per cycle; hold the lane
// that is not granted.
// Does not: refuse anything. Whoever writes into its queues keeps at most Depth pairs on the way.
// Latency: result in -> request 1 cycle.
// Handshake: freed_o when a pair is written whole; done_o with it for the last pair of a packet.
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
  wire result_valid, both, last;

  vla_fifo #(.Width(2*ActAw + 2), .Depth(Depth)) u_targets (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(target_valid_i), .in_ready_o(unused_target_ready),
    .in_data_i({target_both_i, target_last_i, target_addr_i}),
    .out_valid_o(unused_target_valid), .out_ready_i(freed_o), .out_data_o({both, last, wr_addr_o})
  );

  vla_fifo #(.Width(16*Block), .Depth(Depth)) u_results (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(result_valid_i), .in_ready_o(unused_result_ready), .in_data_i(result_i),
    .out_valid_o(result_valid), .out_ready_i(freed_o), .out_data_o(wr_data_o)
  );

  reg  [1:0] written_q;  // lanes of the pair that were granted before
  wire [1:0] written = written_q | (wr_valid_o & wr_grant_i);

  assign wr_valid_o = {result_valid && both, result_valid} & ~written_q;
  assign freed_o    = result_valid && written[0] && (written[1] || !both);
  assign done_o     = freed_o && last;

  always @(posedge clk_i) begin
    if (rst_i) written_q <= 2'b00;
    else written_q <= freed_o ? 2'b00 : written;
  end

endmodule
`default_nettype wire
