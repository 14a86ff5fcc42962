// Writes groups of up to Lanes consecutive words of the activation memory over lanes that are granted one
// by one.
// Does: take one group per cycle when all its lanes are granted at once.
// Does not: store the group; the sender holds it until group_ready_o.
// Latency: none. Handshake: groups are ready/valid; group_ready_o depends on wr_grant_i, the lanes' valid
// does not.
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
  input  wire [3:0]               group_words_i,  // 1 to Lanes
  input  wire [Lanes*8*Block-1:0] group_data_i,
  // write lanes
  output wire [Lanes-1:0]         wr_valid_o,
  output wire [Lanes*ActAw-1:0]   wr_addr_o,
  output wire [Lanes*8*Block-1:0] wr_data_o,
  input  wire [Lanes-1:0]         wr_grant_i
);

  reg  [Lanes-1:0] had_q;   // lanes of this group granted before
  wire [Lanes-1:0] wanted;  // lanes this group uses

  assign wr_valid_o    = group_valid_i ? wanted & ~had_q : {Lanes{1'b0}};
  assign wr_data_o     = group_data_i;
  assign group_ready_o = group_valid_i && (wr_grant_i | had_q | ~wanted) == {Lanes{1'b1}};

  always @(posedge clk_i) begin
    if (rst_i || group_ready_o) had_q <= {Lanes{1'b0}};
    else had_q <= had_q | (wr_valid_o & wr_grant_i);
  end

  genvar g;
  generate
    for (g = 0; g < Lanes; g = g + 1) begin : g_lane
      localparam [ActAw-1:0] Offset = g;
      assign wanted[g] = group_words_i > g;
      assign wr_addr_o[g*ActAw +: ActAw] = group_addr_i + Offset;
    end

    if (Lanes < 2 || Lanes > 8) begin : g_check
      vla_bad_parameter_word_writer_lanes_2_to_8 u_bad ();
    end
  endgenerate

endmodule
`default_nettype wire
