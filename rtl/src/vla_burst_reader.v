// Reads segments from a memory: one burst per segment, several in flight, and hands out the beats together
// with the tag of their segment.
// Does: ask for the next bursts while earlier ones deliver; keep at most InFlight bursts underway.
// Does not: cut segments (they cross no 4 KB boundary and have 1 to 128 beats), or know what a tag means.
// Latency: a segment's address is offered one cycle after it was accepted; a beat is handed out one cycle
// after it was taken from the memory. One beat per cycle.
// Handshake: segments, addresses and beats are ready/valid; r_ready_o depends on registers only.
`default_nettype none
module vla_burst_reader #(
  parameter TagBits  = 8,  // bits of a tag
  parameter InFlight = 8,  // bursts underway, a power of two
  parameter Queue    = 4   // segments waiting, a power of two
) (
  input  wire               clk_i,
  input  wire               rst_i,
  // segments
  input  wire               seg_valid_i,
  output wire               seg_ready_o,
  input  wire [63:0]        seg_addr_i,  // byte address
  input  wire [7:0]         seg_len_i,   // beats - 1
  input  wire [TagBits-1:0] seg_tag_i,
  // memory
  output wire               ar_valid_o,
  input  wire               ar_ready_i,
  output wire [63:0]        ar_addr_o,
  output wire [7:0]         ar_len_o,
  input  wire               r_valid_i,
  output wire               r_ready_o,
  input  wire [255:0]       r_data_i,
  input  wire               r_last_i,
  input  wire               r_error_i,
  // beats
  output wire               beat_valid_o,
  input  wire               beat_ready_i,
  output wire [255:0]       beat_data_o,
  output wire               beat_last_o,   // of the segment
  output wire               beat_error_o,
  output wire [TagBits-1:0] beat_tag_o
);

  wire               wait_valid, order_ready, order_valid;
  wire [TagBits-1:0] wait_tag;
  wire               ar_fire   = ar_valid_o && ar_ready_i;
  wire               beat_fire = beat_valid_o && beat_ready_i;

  vla_fifo #(.Width(64 + 8 + TagBits), .Depth(Queue)) u_wait (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(seg_valid_i), .in_ready_o(seg_ready_o), .in_data_i({seg_tag_i, seg_len_i, seg_addr_i}),
    .out_valid_o(wait_valid), .out_ready_i(ar_fire), .out_data_o({wait_tag, ar_len_o, ar_addr_o})
  );

  assign ar_valid_o = wait_valid && order_ready;

  vla_fifo #(.Width(TagBits), .Depth(InFlight)) u_order (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(ar_fire), .in_ready_o(order_ready), .in_data_i(wait_tag),
    .out_valid_o(order_valid), .out_ready_i(beat_fire && beat_last_o), .out_data_o(beat_tag_o)
  );

  wire slice_valid;
  vla_fifo #(.Width(258), .Depth(2)) u_slice (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(r_valid_i), .in_ready_o(r_ready_o), .in_data_i({r_error_i, r_last_i, r_data_i}),
    .out_valid_o(slice_valid), .out_ready_i(beat_fire), .out_data_o({beat_error_o, beat_last_o, beat_data_o})
  );

  assign beat_valid_o = slice_valid && order_valid;

endmodule
`default_nettype wire
