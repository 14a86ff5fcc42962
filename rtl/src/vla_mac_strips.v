// Complete strips of accumulators, waiting to be requantized.
// Does: keep Depth strips; give one group of pixels of the oldest after the other, in order.
// Does not: refuse a strip. The writer holds Depth credits and gets one back with each freed_o.
// Latency: a strip written at a clock edge can be read after it.
// Handshake: take_i while valid_o; take_last_i with it says that the strip has no further live group.
`default_nettype none
module vla_mac_strips #(
  parameter Pairs = 4,   // pixel pairs of a strip
  parameter Group = 1,   // pixel pairs of a group, dividing those of a strip
  parameter Block = 16,
  parameter Depth = 4    // strips, a power of two
) (
  input  wire                      clk_i,
  input  wire                      rst_i,
  input  wire                      strip_valid_i,
  input  wire                      strip_silent_i,
  input  wire [64*Block*Pairs-1:0] strip_acc_i,     // [pair][out channel][pixel of the pair]
  output wire                      valid_o,
  output wire                      silent_o,
  output wire [64*Block*Group-1:0] acc_o,           // [pair][out channel][pixel of the pair]
  input  wire                      take_i,
  input  wire                      take_last_i,
  output wire                      freed_o
);

  localparam Aw     = $clog2(Depth);
  localparam Groups    = Pairs / Group;
  localparam GroupAw   = Groups > 1 ? $clog2(Groups) : 1;
  localparam GroupBits = 64 * Block * Group;

  reg [Aw:0]       head_q;
  reg [Aw:0]       tail_q;
  reg [GroupAw-1:0] group_q;
  reg [Depth-1:0]  silent_q;

  assign valid_o  = head_q != tail_q;
  assign silent_o = silent_q[head_q[Aw-1:0]];
  assign freed_o  = take_i && take_last_i;

  always @(posedge clk_i) begin
    if (rst_i) begin
      head_q <= 0;
      tail_q <= 0;
      group_q <= 0;
    end else begin
      if (strip_valid_i) tail_q <= tail_q + 1'b1;
      if (freed_o) head_q <= head_q + 1'b1;
      if (freed_o) group_q <= 0;
      else if (take_i) group_q <= group_q + 1'b1;
    end
  end

  always @(posedge clk_i) begin
    if (strip_valid_i) silent_q[tail_q[Aw-1:0]] <= strip_silent_i;
  end

  wire [GroupBits-1:0] group_acc [0:Groups-1];
  assign acc_o = group_acc[group_q];

  genvar p;
  generate
    for (p = 0; p < Groups; p = p + 1) begin : g_group
      reg [GroupBits-1:0] store_q [0:Depth-1];
      assign group_acc[p] = store_q[head_q[Aw-1:0]];
      always @(posedge clk_i) begin
        if (strip_valid_i) store_q[tail_q[Aw-1:0]] <= strip_acc_i[p*GroupBits +: GroupBits];
      end
    end

    if (Pairs % Group != 0) begin : g_check
      vla_bad_parameter_strips_group_divides_pairs u_bad ();
    end
  endgenerate

endmodule
`default_nettype wire
