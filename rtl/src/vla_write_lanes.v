// Write lanes of the activation memory: groups of words, each word with an address of its own.
// Does: write one group per cycle when all its lanes are granted at once; write all words of a group before any of
// the next, so that a word written twice keeps the later value.
// Does not: know what it writes.
// Latency: a group is requested in the cycle after it was taken. Handshake: groups are ready/valid, group_ready_o is a
// register; requests are registers. idle_o: every word taken is granted.
`default_nettype none
module vla_write_lanes #(
  parameter Block = 16,  // B, bytes of a word
  parameter ActAw = 17,  // bits of a word address
  parameter Lanes = 4    // words of a group
) (
  input  wire                     clk_i,
  input  wire                     rst_i,
  // groups
  input  wire                     group_valid_i,
  output wire                     group_ready_o,
  input  wire [Lanes-1:0]         group_lanes_i,  // those that write, at least one
  input  wire [Lanes*ActAw-1:0]   group_addr_i,
  input  wire [Lanes*8*Block-1:0] group_data_i,
  output wire                     idle_o,
  // write lanes
  output wire [Lanes-1:0]         wr_valid_o,
  output wire [Lanes*ActAw-1:0]   wr_addr_o,
  output wire [Lanes*8*Block-1:0] wr_data_o,
  input  wire [Lanes-1:0]         wr_grant_i
);

  wire             held;
  wire [Lanes-1:0] lanes;
  reg  [Lanes-1:0] had_q;  // lanes of the group granted before
  wire [Lanes-1:0] had   = had_q | wr_grant_i;
  wire             whole = (had | ~lanes) == {Lanes{1'b1}};

  vla_slice #(.Width(Lanes * (1 + ActAw + 8 * Block))) u_group (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(group_valid_i), .in_ready_o(group_ready_o),
    .in_data_i({group_lanes_i, group_addr_i, group_data_i}),
    .out_valid_o(held), .out_ready_i(whole), .out_data_o({lanes, wr_addr_o, wr_data_o})
  );

  assign wr_valid_o = held ? lanes & ~had_q : {Lanes{1'b0}};
  assign idle_o     = !held;

  always @(posedge clk_i) begin
    if (rst_i || (held && whole)) had_q <= {Lanes{1'b0}};
    else if (held) had_q <= had;
  end

endmodule
`default_nettype wire
