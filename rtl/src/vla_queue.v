// One of the five packet queues: holds packets in order, takes their semaphores, hands them to an engine.
// Does: take the head's wait mask in one step, then offer the packet to the engine; remember the signal
// mask, address and number of every packet the engine holds and signal when the engine says done.
// Does not: look at anything but the masks of a packet, or reorder. A packet without waits asks nobody; one that is
// done with error_i signals nothing: in program order nothing comes after it.
// Latency: a packet pushed into an empty queue asks for its semaphores in the next cycle (one without waits needs
// none) and is offered in the cycle after their grant. Handshake: ready/valid on both sides; packet_valid_o stays until
// packet_ready_i. stop_i: no further head asks for its semaphores; a packet whose semaphores are taken still goes on.
`default_nettype none
`include "vla_isa.vh"
module vla_queue #(
  parameter Depth = 8  // packets, a power of two
) (
  input  wire         clk_i,
  input  wire         rst_i,
  input  wire         flush_i,  // forget everything; only while the engine is idle
  input  wire         stop_i,
  // from dispatch
  input  wire         in_valid_i,
  output wire         in_ready_o,
  input  wire [511:0] in_packet_i,
  input  wire [37:0]  in_addr_i,  // data-space byte address of the packet
  input  wire [31:0]  in_seq_i,   // its place in program order
  // semaphores
  output wire         take_valid_o,
  output wire [15:0]  take_mask_o,
  input  wire         take_grant_i,
  output wire         signal_valid_o,
  output wire [15:0]  signal_mask_o,
  // engine
  output wire         packet_valid_o,
  input  wire         packet_ready_i,
  output wire [511:0] packet_o,
  input  wire         done_i,
  input  wire         error_i,  // with done_i: an answer of the packet was an error
  // what the monitor looks at
  output wire         head_waiting_o,  // the head has not got its semaphores
  output wire [37:0]  head_addr_o,
  output wire [31:0]  head_seq_o,
  output wire [37:0]  running_addr_o,  // oldest packet in the engine
  output wire [31:0]  running_seq_o,
  output wire         busy_o,          // a packet has its semaphores and is not done
  output wire         empty_o          // no packet that the engine has not got
);

  localparam EntryBits = 512 + 38 + 32;

  wire reset = rst_i || flush_i;

  // packets that the engine has not got
  wire                 head_valid;
  wire                 head_ready;
  wire [EntryBits-1:0] head;
  vla_fifo #(
    .Width(EntryBits),
    .Depth(Depth)
  ) u_waiting (
    .clk_i      (clk_i),
    .rst_i      (reset),
    .in_valid_i (in_valid_i),
    .in_ready_o (in_ready_o),
    .in_data_i  ({in_seq_i, in_addr_i, in_packet_i}),
    .out_valid_o(head_valid),
    .out_ready_i(head_ready),
    .out_data_o (head)
  );

  assign packet_o    = head[511:0];
  assign head_addr_o = head[549:512];
  assign head_seq_o  = head[581:550];

  // the head's semaphores are taken
  reg  taken_q;
  wire give  = packet_valid_o && packet_ready_i;
  wire waits = head_valid && !taken_q && !stop_i;
  wire free  = take_mask_o == 16'd0;
  always @(posedge clk_i) begin
    if (reset)                                taken_q <= 1'b0;
    else if (take_grant_i || (waits && free)) taken_q <= 1'b1;
    else if (give)                            taken_q <= 1'b0;
  end

  assign take_valid_o   = waits && !free;
  assign take_mask_o    = packet_o[`VLA_PACKET_WAIT];
  assign head_waiting_o = head_valid && !taken_q;
  assign empty_o        = !head_valid;

  // packets in the engine
  wire running_valid;
  wire running_ready;
  vla_fifo #(
    .Width(16 + 38 + 32),
    .Depth(4)
  ) u_running (
    .clk_i      (clk_i),
    .rst_i      (reset),
    .in_valid_i (give),
    .in_ready_o (running_ready),
    .in_data_i  ({packet_o[`VLA_PACKET_SIGNAL], head_addr_o, head_seq_o}),
    .out_valid_o(running_valid),
    .out_ready_i(done_i),
    .out_data_o ({signal_mask_o, running_addr_o, running_seq_o})
  );

  assign packet_valid_o = taken_q && running_ready;
  assign head_ready     = give;
  assign signal_valid_o = running_valid && done_i && !error_i;
  assign busy_o         = taken_q || running_valid;

endmodule
`default_nettype wire
