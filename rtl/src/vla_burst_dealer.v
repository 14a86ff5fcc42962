// Joins segments that follow each other line by line in the data space into bursts and deals the bursts to the
// masters, so that each gets the same number of beats. A segment of less than whole lines is followed by
// padding up to its line's end; a burst covers the padding between its segments, not that after the last.
// Does: hand each segment to its burst's master at once, and the burst when it is whole: when the next segment
// does not continue it inside the same aligned SegLines lines, or none is offered.
// Does not: read or write anything, or change the order of segments.
// Latency: a burst is handed over one cycle after its last segment; one segment per cycle.
// Handshake: segments in and out and bursts are ready/valid; busy_o is high while a burst is open.
`default_nettype none
module vla_burst_dealer #(
  parameter Block    = 16,  // B, bytes of a word
  parameter SegLines = 16,  // lines of a burst, a power of two
  parameter SegBits  = 7,   // bits of a segment's length in words
  parameter Masters  = 2    // 1 or 2
) (
  input  wire               clk_i,
  input  wire               rst_i,
  input  wire               in_order_i,  // all to the first master
  // segments
  input  wire               seg_valid_i,
  output wire               seg_ready_o,
  input  wire [31:0]        seg_line_i,
  input  wire [SegBits-1:0] seg_words_i,
  output wire               busy_o,
  // to the masters
  output wire [Masters-1:0] piece_valid_o,  // the segment offered goes to this master
  input  wire [Masters-1:0] piece_ready_i,
  output wire [Masters-1:0] burst_valid_o,
  input  wire [Masters-1:0] burst_ready_i,
  output wire [31:0]        burst_line_o,
  output wire [7:0]         burst_len_o,    // beats - 1
  output wire               burst_fire_o    // a burst was handed over
);

  localparam BeatLog  = $clog2(32 / Block);
  localparam GroupLog = $clog2(SegLines);

  reg              open_q;
  reg              second_q;     // which master's
  reg [31:0]       line_q;       // first line
  reg [31:0]       next_line_q;  // line after its last segment
  reg [7:0]        len_q;        // beats - 1
  reg signed [8:0] lead_q;       // beats dealt to master 0 less those dealt to master 1

  // Lines, and beats less one, of the segment offered.
  wire [SegBits-1:0] last_word = seg_words_i - 1'b1;
  wire [7:0]         seg_len   = {{(8 + BeatLog - SegBits){1'b0}}, last_word[SegBits-1:BeatLog]};
  wire [31:0]        seg_end   = seg_line_i + {25'd0, seg_len[7:1]} + 32'd1;

  wire joins = open_q && seg_valid_i && seg_line_i == next_line_q && seg_line_i[GroupLog-1:0] != 0;
  wire [GroupLog-1:0] lines_before = seg_line_i[GroupLog-1:0] - line_q[GroupLog-1:0];
  wire [7:0]          joined_len   = seg_len + {{(7 - GroupLog){1'b0}}, lines_before, 1'b0};

  // The open burst is handed over unless the segment joins it.
  wire              close       = open_q && !joins;
  wire              burst_ready = second_q ? burst_ready_i[Masters-1] : burst_ready_i[0];
  assign            burst_fire_o = close && burst_ready;
  wire signed [8:0] beats       = {1'b0, len_q} + 9'sd1;
  wire signed [8:0] lead        = !burst_fire_o ? lead_q : second_q ? lead_q - beats : lead_q + beats;

  // The segment goes to the open burst's master, or to the one with fewer beats.
  wire second      = joins ? second_q : Masters == 2 && lead > 0 && !in_order_i;
  wire may_take    = joins || !open_q || burst_fire_o;
  wire piece_ready = second ? piece_ready_i[Masters-1] : piece_ready_i[0];
  wire take        = seg_valid_i && seg_ready_o;
  assign seg_ready_o = may_take && piece_ready;

  always @(posedge clk_i) begin
    if (rst_i) begin
      open_q <= 1'b0;
      lead_q <= 9'sd0;
    end else begin
      if (take) open_q <= 1'b1;
      else if (burst_fire_o) open_q <= 1'b0;
      if (!in_order_i) lead_q <= lead;
    end
  end

  always @(posedge clk_i) begin
    if (take) begin
      if (!joins) line_q <= seg_line_i;
      second_q    <= second;
      next_line_q <= seg_end;
      len_q       <= joins ? joined_len : seg_len;
    end
  end

  assign busy_o       = open_q;
  assign burst_line_o = line_q;
  assign burst_len_o  = len_q;

  genvar m;
  generate
    for (m = 0; m < Masters; m = m + 1) begin : g_master
      assign piece_valid_o[m] = seg_valid_i && may_take && second == m;
      assign burst_valid_o[m] = close && second_q == m;
    end

    if (Masters != 1 && Masters != 2) begin : g_check_masters
      vla_bad_parameter_masters_1_or_2 u_bad ();
    end
    if (SegLines < 2 || SegLines > 64 || (SegLines & (SegLines - 1)) != 0) begin : g_check_lines
      vla_bad_parameter_burst_lines_power_of_two_2_to_64 u_bad ();
    end
  endgenerate

  wire unused_low = ^last_word[BeatLog-1:0];

endmodule
`default_nettype wire
