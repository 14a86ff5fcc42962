// Writes groups of up to Lanes words of the activation memory, each at its own distance from the first, one group after
// the other.
// Does: take one group per cycle when all its lanes are granted at once.
// Does not: say which group is written; idle_o says that all are.
// Latency: a group is requested in the cycle after it was taken. Handshake: groups are ready/valid, group_ready_o is a
// register.
`default_nettype none
module vla_word_writer #(
  parameter Block = 16,  // B, bytes of a word
  parameter ActAw = 17,  // bits of a word address
  parameter Lanes = 4    // words of a group
) (
  input  wire                     clk_i,
  input  wire                     rst_i,
  // groups
  input  wire                     group_valid_i,
  output wire                     group_ready_o,
  input  wire [ActAw-1:0]         group_addr_i,
  input  wire [Lanes*ActAw-1:0]   group_offsets_i,
  input  wire [3:0]               group_words_i,  // 1 to Lanes
  input  wire [Lanes*8*Block-1:0] group_data_i,
  output wire                     idle_o,
  // write lanes
  output wire [Lanes-1:0]         wr_valid_o,
  output wire [Lanes*ActAw-1:0]   wr_addr_o,
  output wire [Lanes*8*Block-1:0] wr_data_o,
  input  wire [Lanes-1:0]         wr_grant_i
);

  wire [Lanes-1:0]       wanted;  // lanes this group uses
  wire [Lanes*ActAw-1:0] addr;

  vla_write_lanes #(.Block(Block), .ActAw(ActAw), .Lanes(Lanes)) u_lanes (
    .clk_i(clk_i), .rst_i(rst_i),
    .group_valid_i(group_valid_i), .group_ready_o(group_ready_o), .group_lanes_i(wanted), .group_addr_i(addr),
    .group_data_i(group_data_i), .idle_o(idle_o),
    .wr_valid_o(wr_valid_o), .wr_addr_o(wr_addr_o), .wr_data_o(wr_data_o), .wr_grant_i(wr_grant_i)
  );

  genvar g;
  generate
    for (g = 0; g < Lanes; g = g + 1) begin : g_lane
      assign wanted[g] = group_words_i > g;
      assign addr[g*ActAw +: ActAw] = group_addr_i + group_offsets_i[g*ActAw +: ActAw];
    end

    if (Lanes < 2 || Lanes > 8) begin : g_check
      vla_bad_parameter_word_writer_lanes_2_to_8 u_bad ();
    end
  endgenerate

endmodule
`default_nettype wire
