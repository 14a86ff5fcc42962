// Reads groups of up to Lanes words of the activation memory, each at its own distance from the first, and hands each
// group out whole, in order.
// Does: one group per cycle when all its lanes are granted at once; lanes run ahead of each other.
// Does not: know whose words they are; `note` travels with the group.
// Latency: a group is on out_data_o six cycles after it was taken when its lanes are granted at once.
// Handshake: groups in and out are ready/valid, group_ready_o depends on registers and group_words_i. A group taken
// with group_skip_i is passed on without reading. Words that a group does not use are zero.
`default_nettype none
module vla_word_reader #(
  parameter Block    = 16,  // B, bytes of a word
  parameter ActAw    = 17,  // bits of a word address
  parameter Lanes    = 4,   // words of a group
  parameter NoteBits = 8    // bits of a note
) (
  input  wire                     clk_i,
  input  wire                     rst_i,
  // groups
  input  wire                     group_valid_i,
  output wire                     group_ready_o,
  input  wire [ActAw-1:0]         group_addr_i,
  input  wire [Lanes*ActAw-1:0]   group_offsets_i,
  input  wire [3:0]               group_words_i,  // 1 to Lanes
  input  wire                     group_skip_i,
  input  wire [NoteBits-1:0]      group_note_i,
  // read lanes
  output wire [Lanes-1:0]         rd_valid_o,
  output wire [Lanes*ActAw-1:0]   rd_addr_o,
  input  wire [Lanes-1:0]         rd_grant_i,
  input  wire [Lanes-1:0]         rd_word_i,
  input  wire [Lanes*8*Block-1:0] rd_data_i,
  // words
  output wire                     out_valid_o,
  input  wire                     out_ready_i,
  output wire [Lanes*8*Block-1:0] out_data_o,
  output wire [NoteBits-1:0]      out_note_o
);

  localparam WordBits = 8 * Block;

  wire [Lanes-1:0] wanted, lane_ready, word_valid;
  wire [Lanes-1:0] used = group_skip_i ? {Lanes{1'b0}} : wanted;  // lanes that read for the group
  wire             note_ready, note_valid;
  wire             take = group_valid_i && group_ready_o;
  wire             give = out_valid_o && out_ready_i;
  wire [Lanes-1:0] out_used;

  assign group_ready_o = note_ready && (lane_ready | ~used) == {Lanes{1'b1}};
  assign out_valid_o   = note_valid && (word_valid | ~out_used) == {Lanes{1'b1}};

  vla_fifo #(.Width(NoteBits + Lanes), .Depth(16)) u_notes (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(take), .in_ready_o(note_ready), .in_data_i({group_note_i, used}),
    .out_valid_o(note_valid), .out_ready_i(give), .out_data_o({out_note_o, out_used})
  );

  genvar g;
  generate
    for (g = 0; g < Lanes; g = g + 1) begin : g_lane
      wire [WordBits-1:0] word;
      assign wanted[g] = group_words_i > g;
      vla_read_lane #(.Aw(ActAw), .WordBits(WordBits), .Depth(8)) u_lane (
        .clk_i(clk_i), .rst_i(rst_i),
        .addr_valid_i(take && used[g]), .addr_ready_o(lane_ready[g]), .addr_i(group_addr_i + group_offsets_i[g*ActAw +: ActAw]),
        .rd_valid_o(rd_valid_o[g]), .rd_addr_o(rd_addr_o[g*ActAw +: ActAw]), .rd_grant_i(rd_grant_i[g]),
        .rd_word_i(rd_word_i[g]), .rd_data_i(rd_data_i[g*WordBits +: WordBits]),
        .word_valid_o(word_valid[g]), .word_ready_i(give && out_used[g]),
        .word_o(word)
      );
      assign out_data_o[g*WordBits +: WordBits] = out_used[g] ? word : {WordBits{1'b0}};
    end

    if (Lanes < 2 || Lanes > 8) begin : g_check
      vla_bad_parameter_word_reader_lanes_2_to_8 u_bad ();
    end
  endgenerate

endmodule
`default_nettype wire
