// Moves groups of words inside the activation memory, as they are or B of them transposed at a time, or fills them with
// a byte.
// Does: have Lanes words read, by a vla_word_share, and write them per cycle when all lanes are granted; touch only
// groups of the head packet.
// Does not: notice an overlap of source and destination (a legal program has none).
// Latency: 9 cycles from a group to its write, B / Lanes more with transposition. Handshake: groups are ready/valid; retire_o is high for one
// cycle per group when its words are at the write lanes, with the tag of its packet. fill_i to dst_step_i belong to the head packet.
`default_nettype none
module vla_local_mover #(
  parameter Block = 16,  // B, bytes of a word
  parameter ActAw = 17,  // bits of a word address
  parameter Lanes = 4    // words of a group
) (
  input  wire                     clk_i,
  input  wire                     rst_i,
  input  wire                     head_tag_i,
  input  wire                     fill_i,
  input  wire [7:0]               pad_i,
  input  wire                     transpose_i,  // groups are whole, B / Lanes of them a square of B words
  input  wire [ActAw-1:0]         src_step_i,     // from a group to the next of its run
  input  wire [Lanes*ActAw-1:0]   dst_offsets_i,  // of the lanes, and the same
  input  wire [ActAw-1:0]         dst_step_i,
  // groups
  input  wire                     seg_valid_i,
  output wire                     seg_ready_o,
  input  wire [ActAw-1:0]         seg_src_i,
  input  wire [ActAw-1:0]         seg_dst_i,
  input  wire [3:0]               seg_words_i,  // 1 to Lanes
  input  wire                     seg_goes_on_i,  // with the words behind those of the group before, on both sides
  input  wire                     seg_tag_i,
  output wire                     idle_o,       // every word taken is written
  output wire                     retire_o,
  output wire                     retire_tag_o,
  // groups to read, and their words
  output wire                     read_valid_o,
  input  wire                     read_ready_i,
  output wire [ActAw-1:0]         read_addr_o,
  output wire [3:0]               read_words_o,
  output wire [4+ActAw-1:0]       read_note_o,
  input  wire                     word_valid_i,
  output wire                     word_ready_o,
  input  wire [Lanes*8*Block-1:0] word_data_i,
  input  wire [4+ActAw-1:0]       word_note_i,
  // write lanes
  output wire [Lanes-1:0]         wr_valid_o,
  output wire [Lanes*ActAw-1:0]   wr_addr_o,
  output wire [Lanes*8*Block-1:0] wr_data_o,
  input  wire [Lanes-1:0]         wr_grant_i
);

  wire             group_valid, group_ready, group_tag, goes_on;
  wire [3:0]       group_words;
  wire [ActAw-1:0] group_src, group_dst;

  vla_fifo #(.Width(2 + 4 + 2 * ActAw), .Depth(4)) u_groups (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(seg_valid_i), .in_ready_o(seg_ready_o),
    .in_data_i({seg_goes_on_i, seg_tag_i, seg_words_i, seg_dst_i, seg_src_i}),
    .out_valid_o(group_valid), .out_ready_i(group_ready),
    .out_data_o({goes_on, group_tag, group_words, group_dst, group_src})
  );

  reg  [ActAw-1:0] src_next_q, dst_next_q;
  wire [ActAw-1:0] read_dst = goes_on ? dst_next_q : group_dst;
  always @(posedge clk_i) begin
    if (group_ready) src_next_q <= read_addr_o + src_step_i;
    if (group_ready) dst_next_q <= read_dst + dst_step_i;
  end

  assign read_valid_o = group_valid && group_tag == head_tag_i;
  assign read_addr_o  = goes_on ? src_next_q : group_src;
  assign read_words_o = group_words;
  assign read_note_o  = {group_words, read_dst};
  assign group_ready  = read_valid_o && read_ready_i;

  // Squares are turned; where their words go waits beside them.
  wire                     turn_ready, turned_valid, turned_ready, notes_ready, unused_notes_valid;
  wire [Lanes*8*Block-1:0] turned_data;
  wire [4+ActAw-1:0]       turned_note;
  wire                     turn = word_valid_i && transpose_i && notes_ready;
  vla_byte_transpose #(.Block(Block), .Words(Lanes)) u_transpose (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(turn), .in_ready_o(turn_ready), .in_words_i(word_data_i),
    .out_valid_o(turned_valid), .out_ready_i(turned_ready), .out_words_o(turned_data)
  );
  vla_fifo #(.Width(4 + ActAw), .Depth(2 * Block / Lanes)) u_notes (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(turn && turn_ready), .in_ready_o(notes_ready), .in_data_i(word_note_i),
    .out_valid_o(unused_notes_valid), .out_ready_i(turned_valid && turned_ready), .out_data_o(turned_note)
  );

  wire                     write_valid = transpose_i ? turned_valid : word_valid_i;
  wire                     writer_ready;
  wire [3:0]               write_words;
  wire [ActAw-1:0]         write_dst;
  wire [Lanes*8*Block-1:0] write_data = fill_i ? {(Lanes * Block){pad_i}} : transpose_i ? turned_data : word_data_i;
  assign {write_words, write_dst} = transpose_i ? turned_note : word_note_i;
  assign word_ready_o = transpose_i ? turn_ready && notes_ready : writer_ready;
  assign turned_ready = writer_ready && transpose_i;

  vla_word_writer #(.Block(Block), .ActAw(ActAw), .Lanes(Lanes)) u_writer (
    .clk_i(clk_i), .rst_i(rst_i),
    .group_valid_i(write_valid), .group_ready_o(writer_ready), .idle_o(idle_o),
    .group_addr_i(write_dst), .group_offsets_i(dst_offsets_i), .group_words_i(write_words), .group_data_i(write_data),
    .wr_valid_o(wr_valid_o), .wr_addr_o(wr_addr_o), .wr_data_o(wr_data_o), .wr_grant_i(wr_grant_i)
  );

  assign retire_o     = write_valid && writer_ready;
  assign retire_tag_o = head_tag_i;

endmodule
`default_nettype wire
