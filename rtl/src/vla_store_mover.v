// Moves words of the activation memory into the data space over one out-master, in bursts of one or more
// segments, each from a line's start.
// Does: send the addresses of the next bursts while earlier ones are written; keep at most InFlight bursts
// without a response; write only the words of a segment, not the padding up to its line's end (byte strobes).
// Also: read items for a vla_gather_rows through its lanes.
// Does not: form bursts, or choose the master.
// Latency: an address is offered one cycle after its burst was accepted, its first beat 8 cycles after the
// address was taken; one beat per cycle when its lanes are granted.
// Handshake: segments, bursts and AXI are ready/valid; a segment comes before its burst. retire_o is high for
// one cycle per burst, at its response, with the tag of its packet; error_o with it if the response is an error.
`include "vla_isa.vh"
`default_nettype none
module vla_store_mover #(
  parameter Block    = 16,  // B, bytes of a word
  parameter ActAw    = 17,  // bits of a word address
  parameter SegBits  = 7,   // bits of a segment's length in words
  parameter InFlight = 8    // bursts without a response, a power of two
) (
  input  wire                         clk_i,
  input  wire                         rst_i,
  input  wire [64*`VLA_DATA_CHANNELS-1:0] data_bases_i,
  // of the packets of both tags: distances of the words of a beat, and from a beat's words to the next beat's
  input  wire [2*(32/Block)*ActAw-1:0] offsets_i,
  input  wire [2*ActAw-1:0]            steps_i,
  // segments
  input  wire                         seg_valid_i,
  output wire                         seg_ready_o,
  input  wire [ActAw-1:0]             seg_word_i,
  input  wire [SegBits-1:0]           seg_words_i,
  input  wire                         seg_goes_on_i,  // with the word behind the segment before
  input  wire                         seg_tag_i,
  // bursts
  input  wire                         burst_valid_i,
  output wire                         burst_ready_o,
  input  wire [31:0]                  burst_line_i,
  input  wire [7:0]                   burst_len_i,   // beats - 1
  input  wire                         burst_tag_i,
  output wire                         retire_o,
  output wire                         retire_tag_o,
  // AXI write master
  output wire                         aw_valid_o,
  input  wire                         aw_ready_i,
  output wire [63:0]                  aw_addr_o,
  output wire [7:0]                   aw_len_o,
  output wire                         w_valid_o,
  input  wire                         w_ready_i,
  output wire [255:0]                 w_data_o,
  output wire [31:0]                  w_strb_o,
  output wire                         w_last_o,
  input  wire                         b_valid_i,
  output wire                         b_ready_o,
  input  wire                         b_error_i,
  output wire                         error_o,
  // items: the word with a row's number, read in between
  input  wire                         item_valid_i,
  output wire                         item_ready_o,
  input  wire [ActAw-1:0]             item_addr_i,
  output wire                         item_word_valid_o,
  output wire [31:0]                  item_word_data_o,
  // read lanes
  output wire [32/Block-1:0]          rd_valid_o,
  output wire [(32/Block)*ActAw-1:0]  rd_addr_o,
  input  wire [32/Block-1:0]          rd_grant_i,
  input  wire [32/Block-1:0]          rd_word_i,
  input  wire [255:0]                 rd_data_i
);

  localparam BeatWords = 32 / Block;
  localparam BeatLog   = $clog2(BeatWords);
  localparam [SegBits-1:0] Step = BeatWords[SegBits-1:0];

  // Bursts wait for their address to be taken.
  wire        wait_valid, wait_tag, order_ready, unused_data_ready;
  wire [63:0] burst_addr;
  wire        aw_fire = aw_valid_o && aw_ready_i;
  vla_data_map u_map (.bases_i(data_bases_i), .line_i(burst_line_i), .addr_o(burst_addr));
  vla_fifo #(.Width(1 + 64 + 8), .Depth(4)) u_wait (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(burst_valid_i), .in_ready_o(burst_ready_o),
    .in_data_i({burst_tag_i, burst_addr, burst_len_i}),
    .out_valid_o(wait_valid), .out_ready_i(aw_fire), .out_data_o({wait_tag, aw_addr_o, aw_len_o})
  );
  assign aw_valid_o = wait_valid && order_ready;

  // Bursts whose response is due; no more than these have data to send, so u_data never overflows.
  wire order_valid;
  vla_fifo #(.Width(1), .Depth(InFlight)) u_order (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(aw_fire), .in_ready_o(order_ready), .in_data_i(wait_tag),
    .out_valid_o(order_valid), .out_ready_i(retire_o), .out_data_o(retire_tag_o)
  );

  wire       data_valid, beat_ready;
  wire [7:0] data_len;
  reg  [7:0] beat_q;  // of the burst
  wire       beat_last = beat_q == data_len;
  vla_fifo #(.Width(8), .Depth(InFlight)) u_data (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(aw_fire), .in_ready_o(unused_data_ready), .in_data_i(aw_len_o),
    .out_valid_o(data_valid), .out_ready_i(beat_ready && beat_last), .out_data_o(data_len)
  );

  // The segment the beat belongs to, and its words in earlier beats.
  wire               seg_end, seg_tag, seg_goes_on, unused_seg_valid;
  wire [SegBits-1:0] seg_words;
  wire [ActAw-1:0]   seg_word;
  vla_fifo #(.Width(2 + SegBits + ActAw), .Depth(64)) u_segments (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(seg_valid_i), .in_ready_o(seg_ready_o), .in_data_i({seg_tag_i, seg_goes_on_i, seg_words_i, seg_word_i}),
    .out_valid_o(unused_seg_valid), .out_ready_i(seg_end), .out_data_o({seg_tag, seg_goes_on, seg_words, seg_word})
  );

  reg  [SegBits-1:0] offset_q;
  reg                inside_q;  // not the segment's first beat
  reg  [ActAw-1:0]   next_q;    // where the words behind the last beat lie
  wire [ActAw-1:0]   word       = inside_q || seg_goes_on ? next_q : seg_word;
  wire [ActAw-1:0]   step       = seg_tag ? steps_i[2*ActAw-1:ActAw] : steps_i[ActAw-1:0];
  wire [BeatWords*ActAw-1:0] offsets = seg_tag ? offsets_i[BeatWords*ActAw +: BeatWords*ActAw]
                                               : offsets_i[BeatWords*ActAw-1:0];
  wire [SegBits-1:0] left       = offset_q < seg_words ? seg_words - offset_q : {SegBits{1'b0}};
  wire               covered    = left <= Step;
  wire [3:0]         beat_words = covered ? left[3:0] : BeatWords[3:0];
  assign seg_end = beat_ready && (beat_last || (covered && offset_q[BeatLog]));  // a line is two beats

  always @(posedge clk_i) begin
    if (rst_i) begin
      offset_q <= {SegBits{1'b0}};
      inside_q <= 1'b0;
      beat_q   <= 8'd0;
    end else if (beat_ready) begin
      offset_q <= seg_end ? {SegBits{1'b0}} : offset_q + Step;
      inside_q <= !seg_end;
      beat_q   <= beat_last ? 8'd0 : beat_q + 8'd1;
    end
    if (beat_ready) next_q <= word + step;
  end

  wire       reader_ready, out_valid, out_item;
  wire [3:0] w_words;
  assign beat_ready   = data_valid && reader_ready && !item_valid_i;
  assign item_ready_o = reader_ready;
  vla_word_reader #(.Block(Block), .ActAw(ActAw), .Lanes(BeatWords), .NoteBits(6)) u_reader (
    .clk_i(clk_i), .rst_i(rst_i),
    .group_valid_i(data_valid || item_valid_i), .group_ready_o(reader_ready),
    .group_addr_i(item_valid_i ? item_addr_i : word), .group_offsets_i(offsets),
    .group_words_i(item_valid_i ? 4'd1 : beat_words),
    .group_skip_i(1'b0), .group_note_i({item_valid_i, beat_last, beat_words}),
    .rd_valid_o(rd_valid_o), .rd_addr_o(rd_addr_o), .rd_grant_i(rd_grant_i), .rd_word_i(rd_word_i),
    .rd_data_i(rd_data_i),
    .out_valid_o(out_valid), .out_ready_i(out_item || w_ready_i), .out_data_o(w_data_o),
    .out_note_o({out_item, w_last_o, w_words})
  );
  assign w_valid_o         = out_valid && !out_item;
  assign item_word_valid_o = out_valid && out_item;
  assign item_word_data_o  = w_data_o[31:0];

  genvar g;
  generate
    for (g = 0; g < BeatWords; g = g + 1) begin : g_strobe
      assign w_strb_o[g*Block +: Block] = {Block{w_words > g}};
    end

    if (Block != 8 && Block != 16) begin : g_check
      vla_bad_parameter_block_8_or_16 u_bad ();
    end
  endgenerate

  assign b_ready_o = order_valid;
  assign retire_o  = b_valid_i && b_ready_o;
  assign error_o   = retire_o && b_error_i;

endmodule
`default_nettype wire
