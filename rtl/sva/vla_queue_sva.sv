// A queue: the engine says done only for a packet it has; a packet on offer stays; no take without a head.
`default_nettype none
module vla_queue_sva (
  input wire         clk_i,
  input wire         rst_i,
  input wire         flush_i,
  input wire         done_i,
  input wire         running_valid,
  input wire         busy_o,
  input wire         packet_valid_o,
  input wire         packet_ready_i,
  input wire [511:0] packet_o
);

  done_has_packet : assert property (
    @(posedge clk_i) disable iff (rst_i) done_i |-> running_valid
  ) else $error("%m: an engine is done with a packet that it has not got");

  flush_when_idle : assert property (
    @(posedge clk_i) disable iff (rst_i) flush_i |-> !busy_o
  ) else $error("%m: a queue is flushed while its engine works");

  vla_stream_sva #(.Width(512)) u_packet (
    .clk_i, .rst_i, .valid_i(packet_valid_o), .ready_i(packet_ready_i), .payload_i(packet_o)
  );

endmodule

bind vla_queue vla_queue_sva u_sva (.*);
`default_nettype wire
