// Moves groups of words inside the activation memory, or fills them with a byte.
// Does: read and write Lanes words per cycle when all lanes are granted; touch only groups of the head packet.
// Does not: notice an overlap of source and destination (a legal program has none).
// Latency: 9 cycles from a group to its write. Handshake: groups are ready/valid; retire_o is high for one
// cycle per group when its words are at the write lanes, with the tag of its packet. fill_i and pad_i belong to the head packet.
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
  // groups
  input  wire                     seg_valid_i,
  output wire                     seg_ready_o,
  input  wire [ActAw-1:0]         seg_src_i,
  input  wire [ActAw-1:0]         seg_dst_i,
  input  wire [3:0]               seg_words_i,  // 1 to Lanes
  input  wire                     seg_tag_i,
  output wire                     idle_o,       // every word taken is written
  output wire                     retire_o,
  output wire                     retire_tag_o,
  // read lanes
  output wire [Lanes-1:0]         rd_valid_o,
  output wire [Lanes*ActAw-1:0]   rd_addr_o,
  input  wire [Lanes-1:0]         rd_grant_i,
  input  wire [Lanes-1:0]         rd_word_i,
  input  wire [Lanes*8*Block-1:0] rd_data_i,
  // write lanes
  output wire [Lanes-1:0]         wr_valid_o,
  output wire [Lanes*ActAw-1:0]   wr_addr_o,
  output wire [Lanes*8*Block-1:0] wr_data_o,
  input  wire [Lanes-1:0]         wr_grant_i
);

  wire             group_valid, group_ready, group_tag;
  wire [3:0]       group_words;
  wire [ActAw-1:0] group_src, group_dst;

  vla_fifo #(.Width(1 + 4 + 2 * ActAw), .Depth(4)) u_groups (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(seg_valid_i), .in_ready_o(seg_ready_o),
    .in_data_i({seg_tag_i, seg_words_i, seg_dst_i, seg_src_i}),
    .out_valid_o(group_valid), .out_ready_i(group_ready),
    .out_data_o({group_tag, group_words, group_dst, group_src})
  );

  wire mine = group_valid && group_tag == head_tag_i;
  wire reader_ready, writer_ready;
  assign group_ready = mine && reader_ready;

  wire                     word_valid;
  wire [Lanes*8*Block-1:0] word_data;
  wire [3:0]               word_words;
  wire [ActAw-1:0]         word_dst;

  vla_word_reader #(.Block(Block), .ActAw(ActAw), .Lanes(Lanes), .NoteBits(4 + ActAw)) u_reader (
    .clk_i(clk_i), .rst_i(rst_i),
    .group_valid_i(mine), .group_ready_o(reader_ready),
    .group_addr_i(group_src), .group_words_i(group_words), .group_skip_i(fill_i),
    .group_note_i({group_words, group_dst}),
    .rd_valid_o(rd_valid_o), .rd_addr_o(rd_addr_o), .rd_grant_i(rd_grant_i), .rd_word_i(rd_word_i),
    .rd_data_i(rd_data_i),
    .out_valid_o(word_valid), .out_ready_i(retire_o), .out_data_o(word_data),
    .out_note_o({word_words, word_dst})
  );

  vla_word_writer #(.Block(Block), .ActAw(ActAw), .Lanes(Lanes)) u_writer (
    .clk_i(clk_i), .rst_i(rst_i),
    .group_valid_i(word_valid), .group_ready_o(writer_ready), .idle_o(idle_o),
    .group_addr_i(word_dst), .group_words_i(word_words),
    .group_data_i(fill_i ? {(Lanes * Block){pad_i}} : word_data),
    .wr_valid_o(wr_valid_o), .wr_addr_o(wr_addr_o), .wr_data_o(wr_data_o), .wr_grant_i(wr_grant_i)
  );

  assign retire_o     = word_valid && writer_ready;
  assign retire_tag_o = head_tag_i;

endmodule
`default_nettype wire
