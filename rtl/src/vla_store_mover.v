// Moves segments of activation words into the data space over one out-master: one burst per segment.
// Does: send the addresses of the next bursts while earlier ones are written; keep at most InFlight bursts
// without a response; write no byte outside the segment (byte strobes).
// Does not: cut segments (they cross no 4 KB boundary and have at most 128 beats), or choose the master.
// Latency: an address is offered one cycle after its segment was accepted, its first beat 4 cycles after
// the address was taken; one beat per cycle when its lanes are granted.
// Handshake: segments and AXI are ready/valid; retire_o is high for one cycle per segment, at its response.
`default_nettype none
module vla_store_mover #(
  parameter Block    = 16,  // B, bytes of a word
  parameter ActAw    = 17,  // bits of a word address
  parameter SegBits  = 7,   // bits of a segment's length in words
  parameter InFlight = 8    // bursts without a response, a power of two
) (
  input  wire                         clk_i,
  input  wire                         rst_i,
  input  wire [63:0]                  data_base_i,
  // segments
  input  wire                         seg_valid_i,
  output wire                         seg_ready_o,
  input  wire [31:0]                  seg_line_i,
  input  wire [ActAw-1:0]             seg_word_i,
  input  wire [SegBits-1:0]           seg_words_i,
  input  wire                         seg_tag_i,
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
  output wire                         axi_error_o,
  // read lanes
  output wire [32/Block-1:0]          rd_valid_o,
  output wire [(32/Block)*ActAw-1:0]  rd_addr_o,
  input  wire [32/Block-1:0]          rd_grant_i,
  input  wire [255:0]                 rd_data_i
);

  localparam BeatWords = 32 / Block;
  localparam BeatLog   = $clog2(BeatWords);

  // Segments wait for their address to be taken.
  wire               wait_valid, wait_tag, order_ready, unused_data_ready;
  wire [31:0]        wait_line;
  wire [ActAw-1:0]   wait_word;
  wire [SegBits-1:0] wait_words;
  wire               aw_fire = aw_valid_o && aw_ready_i;
  vla_fifo #(.Width(1 + 32 + ActAw + SegBits), .Depth(4)) u_wait (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(seg_valid_i), .in_ready_o(seg_ready_o),
    .in_data_i({seg_tag_i, seg_line_i, seg_word_i, seg_words_i}),
    .out_valid_o(wait_valid), .out_ready_i(aw_fire),
    .out_data_o({wait_tag, wait_line, wait_word, wait_words})
  );

  wire [SegBits-1:0] last_word = wait_words - 1'b1;
  assign aw_valid_o = wait_valid && order_ready;
  assign aw_addr_o  = data_base_i + {26'd0, wait_line, 6'd0};
  assign aw_len_o   = {{(8 + BeatLog - SegBits){1'b0}}, last_word[SegBits-1:BeatLog]};

  // Bursts whose response is due; no more than these have data to send, so u_data never overflows.
  wire order_valid;
  vla_fifo #(.Width(1), .Depth(InFlight)) u_order (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(aw_fire), .in_ready_o(order_ready), .in_data_i(wait_tag),
    .out_valid_o(order_valid), .out_ready_i(retire_o), .out_data_o(retire_tag_o)
  );

  wire               data_valid, data_last, beat_ready;
  wire [ActAw-1:0]   data_word;
  wire [SegBits-1:0] data_words;
  vla_fifo #(.Width(ActAw + SegBits), .Depth(InFlight)) u_data (
    .clk_i(clk_i), .rst_i(rst_i),
    .in_valid_i(aw_fire), .in_ready_o(unused_data_ready), .in_data_i({wait_word, wait_words}),
    .out_valid_o(data_valid), .out_ready_i(beat_ready && data_last), .out_data_o({data_word, data_words})
  );

  // Beats of the burst.
  localparam [SegBits-1:0] Step = BeatWords[SegBits-1:0];
  reg  [SegBits-1:0] offset_q;  // words of the segment in earlier beats
  wire [SegBits-1:0] left       = data_words - offset_q;
  wire [31:0]        offset     = {{(32 - SegBits){1'b0}}, offset_q};
  wire [3:0]         beat_words = left >= Step ? BeatWords[3:0] : left[3:0];
  assign data_last = left <= Step;

  always @(posedge clk_i) begin
    if (rst_i) offset_q <= {SegBits{1'b0}};
    else if (beat_ready) offset_q <= data_last ? {SegBits{1'b0}} : offset_q + Step;
  end

  wire [3:0] w_words;
  vla_word_reader #(.Block(Block), .ActAw(ActAw), .Lanes(BeatWords), .NoteBits(5)) u_reader (
    .clk_i(clk_i), .rst_i(rst_i),
    .group_valid_i(data_valid), .group_ready_o(beat_ready),
    .group_addr_i(data_word + offset[ActAw-1:0]), .group_words_i(beat_words),
    .group_skip_i(1'b0), .group_note_i({data_last, beat_words}),
    .rd_valid_o(rd_valid_o), .rd_addr_o(rd_addr_o), .rd_grant_i(rd_grant_i), .rd_data_i(rd_data_i),
    .out_valid_o(w_valid_o), .out_ready_i(w_ready_i), .out_data_o(w_data_o), .out_note_o({w_last_o, w_words})
  );

  genvar g;
  generate
    for (g = 0; g < BeatWords; g = g + 1) begin : g_strobe
      assign w_strb_o[g*Block +: Block] = {Block{w_words > g}};
    end

    if (Block != 8 && Block != 16) begin : g_check
      vla_bad_parameter_block_8_or_16 u_bad ();
    end
  endgenerate

  assign b_ready_o   = order_valid;
  assign retire_o    = b_valid_i && b_ready_o;
  assign axi_error_o = retire_o && b_error_i;

  wire unused_bits = ^{last_word[BeatLog-1:0], offset[31:ActAw]};

endmodule
`default_nettype wire
