// One weight master: moves its own columns of a segment of weight words from its own part of the weight space
// into the weight memory. Beat b of a word is read by master b mod WeightMasters, so this master's k-th beat of a
// word is the word's column k * WeightMasters + its own number. Its part holds its beats of word 0, then of word 1, ...
// Does: read ahead, several bursts in flight; write one column per beat. Does not: wait for other masters.
// Latency: 2 cycles plus that of the memory from a segment to its first write; one beat per cycle, always
// taken. Handshake: segments and the read client are ready/valid; retire_o is high for one cycle per segment,
// error_o for each beat answered with an error, both with the tag of their packet.
`default_nettype none
module vla_weight_stripe #(
  parameter Beats    = 1,   // beats of a word on this master
  parameter WeightAw = 13,  // bits of a weight word address
  parameter SegBits  = 7    // bits of a segment's length in words
) (
  input  wire                clk_i,
  input  wire                rst_i,
  input  wire [63:0]         base_i,  // of what this master reads
  // segments
  input  wire                seg_valid_i,
  output wire                seg_ready_o,
  input  wire [31:0]         seg_src_i,
  input  wire [WeightAw-1:0] seg_dst_i,
  input  wire [SegBits-1:0]  seg_words_i,
  input  wire                seg_tag_i,
  output wire                retire_o,
  output wire                retire_tag_o,
  // read client
  output wire                ar_valid_o,
  input  wire                ar_ready_i,
  output wire [63:0]         ar_addr_o,
  output wire [7:0]          ar_len_o,
  input  wire                r_valid_i,
  output wire                r_ready_o,
  input  wire [255:0]        r_data_i,
  input  wire                r_last_i,
  input  wire                r_error_i,
  output wire                error_o,
  // weight memory, this master's columns
  output wire [Beats-1:0]    wr_en_o,
  output wire [WeightAw-1:0] wr_addr_o,
  output wire [255:0]        wr_data_o
);

  localparam BeatLog = $clog2(Beats);
  localparam [3:0] LastColumn = Beats[3:0] - 4'd1;

  wire                beat_valid, beat_last, beat_error;
  wire [WeightAw-1:0] beat_base;

  // Beats - 1 of the segment: words * Beats - 1.
  wire [31:0] seg_beats = {{(32 - SegBits){1'b0}}, seg_words_i} << BeatLog;
  wire [31:0] seg_len   = seg_beats - 32'd1;

  vla_burst_reader #(.TagBits(1 + WeightAw)) u_reader (
    .clk_i(clk_i), .rst_i(rst_i),
    .seg_valid_i(seg_valid_i), .seg_ready_o(seg_ready_o),
    .seg_addr_i(base_i + ({27'd0, seg_src_i, 5'd0} << BeatLog)), .seg_len_i(seg_len[7:0]),
    .seg_tag_i({seg_tag_i, seg_dst_i}),
    .ar_valid_o(ar_valid_o), .ar_ready_i(ar_ready_i), .ar_addr_o(ar_addr_o), .ar_len_o(ar_len_o),
    .r_valid_i(r_valid_i), .r_ready_o(r_ready_o), .r_data_i(r_data_i), .r_last_i(r_last_i),
    .r_error_i(r_error_i),
    .beat_valid_o(beat_valid), .beat_ready_i(1'b1), .beat_data_o(wr_data_o), .beat_last_o(beat_last),
    .beat_error_o(beat_error), .beat_tag_o({retire_tag_o, beat_base})
  );

  reg [WeightAw-1:0] offset_q;  // words of the segment written whole
  reg [3:0]          column_q;  // which of this master's columns the beat is
  wire               word_end = column_q == LastColumn;

  always @(posedge clk_i) begin
    if (rst_i) begin
      offset_q <= {WeightAw{1'b0}};
      column_q <= 4'd0;
    end else if (beat_valid) begin
      column_q <= word_end ? 4'd0 : column_q + 4'd1;
      if (beat_last) offset_q <= {WeightAw{1'b0}};
      else if (word_end) offset_q <= offset_q + 1'b1;
    end
  end

  genvar k;
  generate
    for (k = 0; k < Beats; k = k + 1) begin : g_column
      assign wr_en_o[k] = beat_valid && column_q == k;
    end

    if (Beats < 1 || Beats > 8 || (Beats & (Beats - 1)) != 0) begin : g_check
      vla_bad_parameter_weight_stripe_beats_power_of_two_to_8 u_bad ();
    end
  endgenerate

  assign wr_addr_o   = beat_base + offset_q;
  assign retire_o    = beat_valid && beat_last;
  assign error_o     = beat_valid && beat_error;

  wire unused_len = ^seg_len[31:8];

endmodule
`default_nettype wire
