// Moves bursts of data-space lines into the activation memory over one in-master. A burst holds one or more
// segments, each from a line's start.
// Does: read ahead of what is written, also for the packet after the head; write only words of the head
// packet, and only the words of a segment, not the padding up to its line's end.
// Does not: form bursts, or choose the master.
// Latency: 4 cycles plus that of the memory from a burst to its first write; one beat per cycle.
// Handshake: segments, bursts and the read client are ready/valid; a segment comes before its burst. retire_o
// is high for one cycle per burst when all its words are at the write lanes, error_o for each beat that the memory answered with an error, both with
// the tag of their packet.
`include "vla_isa.vh"
`default_nettype none
module vla_data_mover #(
  parameter Block   = 16,  // B, bytes of a word
  parameter ActAw   = 17,  // bits of a word address
  parameter SegBits = 7    // bits of a segment's length in words
) (
  input  wire                         clk_i,
  input  wire                         rst_i,
  input  wire [64*`VLA_DATA_CHANNELS-1:0] data_bases_i,
  input  wire                         head_tag_i,
  input  wire [(32/Block)*ActAw-1:0]  offsets_i,    // of the words of a beat, of the head packet
  input  wire [ActAw-1:0]             step_i,       // from a beat's words to the next beat's
  // segments
  input  wire                         seg_valid_i,
  output wire                         seg_ready_o,
  input  wire [ActAw-1:0]             seg_word_i,
  input  wire [SegBits-1:0]           seg_words_i,
  input  wire                         seg_goes_on_i,  // with the word behind the segment before
  // bursts
  input  wire                         burst_valid_i,
  output wire                         burst_ready_o,
  input  wire [31:0]                  burst_line_i,
  input  wire [7:0]                   burst_len_i,   // beats - 1
  input  wire                         burst_tag_i,
  output wire                         idle_o,       // every word taken is written
  output wire                         retire_o,
  output wire                         retire_tag_o,
  // read client
  output wire                         ar_valid_o,
  input  wire                         ar_ready_i,
  output wire [63:0]                  ar_addr_o,
  output wire [7:0]                   ar_len_o,
  input  wire                         r_valid_i,
  output wire                         r_ready_o,
  input  wire [255:0]                 r_data_i,
  input  wire                         r_last_i,
  input  wire                         r_error_i,
  output wire                         error_o,
  // write lanes
  output wire [32/Block-1:0]          wr_valid_o,
  output wire [(32/Block)*ActAw-1:0]  wr_addr_o,
  output wire [255:0]                 wr_data_o,
  input  wire [32/Block-1:0]          wr_grant_i
);

  localparam BeatWords = 32 / Block;
  localparam BeatLog   = $clog2(BeatWords);
  localparam [SegBits-1:0] Step = BeatWords[SegBits-1:0];

  wire         beat_valid, beat_ready, beat_last, beat_error, beat_tag;
  wire [255:0] beat_data;
  wire [63:0]  burst_addr;
  vla_data_map u_map (.bases_i(data_bases_i), .line_i(burst_line_i), .addr_o(burst_addr));

  vla_burst_reader #(.TagBits(1)) u_reader (
    .clk_i(clk_i), .rst_i(rst_i),
    .seg_valid_i(burst_valid_i), .seg_ready_o(burst_ready_o),
    .seg_addr_i(burst_addr), .seg_len_i(burst_len_i), .seg_tag_i(burst_tag_i),
    .ar_valid_o(ar_valid_o), .ar_ready_i(ar_ready_i), .ar_addr_o(ar_addr_o), .ar_len_o(ar_len_o),
    .r_valid_i(r_valid_i), .r_ready_o(r_ready_o), .r_data_i(r_data_i), .r_last_i(r_last_i),
    .r_error_i(r_error_i),
    .beat_valid_o(beat_valid), .beat_ready_i(beat_ready), .beat_data_o(beat_data),
    .beat_last_o(beat_last), .beat_error_o(beat_error), .beat_tag_o(beat_tag)
  );

  // The segment the beat belongs to, and its words that came with earlier beats.
  wire               seg_end, seg_goes_on, unused_seg_valid;
  wire [SegBits-1:0] seg_words;
  wire [ActAw-1:0]   seg_word;
  vla_fifo #(.Width(1 + SegBits + ActAw), .Depth(64)) u_segments (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(seg_valid_i), .in_ready_o(seg_ready_o), .in_data_i({seg_goes_on_i, seg_words_i, seg_word_i}),
    .out_valid_o(unused_seg_valid), .out_ready_i(seg_end), .out_data_o({seg_goes_on, seg_words, seg_word})
  );

  reg  [SegBits-1:0] offset_q;
  reg                inside_q;  // not the segment's first beat
  reg  [ActAw-1:0]   next_q;    // where the words behind the last beat go
  wire [ActAw-1:0]   word = inside_q || seg_goes_on ? next_q : seg_word;
  wire [SegBits-1:0] left    = offset_q < seg_words ? seg_words - offset_q : {SegBits{1'b0}};
  wire               covered = left <= Step;
  assign seg_end = beat_ready && (beat_last || (covered && offset_q[BeatLog]));  // a line is two beats

  always @(posedge clk_i) begin
    if (rst_i) begin
      offset_q <= {SegBits{1'b0}};
      inside_q <= 1'b0;
    end else if (beat_ready) begin
      offset_q <= seg_end ? {SegBits{1'b0}} : offset_q + Step;
      inside_q <= !seg_end;
    end
    if (beat_ready) next_q <= word + step_i;
  end

  wire mine = beat_valid && beat_tag == head_tag_i;
  wire writer_ready;
  assign beat_ready = mine && writer_ready;

  vla_word_writer #(.Block(Block), .ActAw(ActAw), .Lanes(BeatWords)) u_writer (
    .clk_i(clk_i), .rst_i(rst_i),
    .group_valid_i(mine), .group_ready_o(writer_ready), .idle_o(idle_o),
    .group_addr_i(word), .group_offsets_i(offsets_i), .group_words_i(covered ? left[3:0] : BeatWords[3:0]),
    .group_data_i(beat_data),
    .wr_valid_o(wr_valid_o), .wr_addr_o(wr_addr_o), .wr_data_o(wr_data_o), .wr_grant_i(wr_grant_i)
  );

  assign retire_o     = beat_ready && beat_last;
  assign retire_tag_o = beat_tag;
  assign error_o      = beat_ready && beat_error;

  generate
    if (Block != 8 && Block != 16) begin : g_check
      vla_bad_parameter_block_8_or_16 u_bad ();
    end
  endgenerate

endmodule
`default_nettype wire
