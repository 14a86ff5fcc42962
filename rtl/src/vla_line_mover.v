// Moves segments of data-space lines into the parameter memory or the weight memory.
// Does: read ahead; join two beats to a 64-byte line and write it to the memory that its segment names. Does not: wait
// for anything, so it always takes its beats.
// Latency: 3 cycles plus that of the memory from a segment to its first write; a line every two cycles.
// Handshake: segments and the read client are ready/valid; retire_o is high for one cycle per segment,
// error_o for each beat answered with an error, both with the tag of their packet. Destinations count lines: the
// address of a word times the lines of a word.
`include "vla_isa.vh"
`default_nettype none
module vla_line_mover #(
  parameter DstAw   = 17,  // bits of a destination line
  parameter SegBits = 7    // bits of a segment's length in lines
) (
  input  wire               clk_i,
  input  wire               rst_i,
  input  wire [64*`VLA_DATA_CHANNELS-1:0] data_bases_i,
  // segments
  input  wire               seg_valid_i,
  output wire               seg_ready_o,
  input  wire [31:0]        seg_src_i,
  input  wire [DstAw-1:0]   seg_dst_i,
  input  wire [SegBits-1:0] seg_lines_i,
  input  wire               seg_weight_i,  // to the weight memory
  input  wire               seg_tag_i,
  output wire               retire_o,
  output wire               retire_tag_o,
  // read client
  output wire               ar_valid_o,
  input  wire               ar_ready_i,
  output wire [63:0]        ar_addr_o,
  output wire [7:0]         ar_len_o,
  input  wire               r_valid_i,
  output wire               r_ready_o,
  input  wire [255:0]       r_data_i,
  input  wire               r_last_i,
  input  wire               r_error_i,
  output wire               error_o,
  // memories
  output wire               wr_param_o,
  output wire               wr_weight_o,
  output wire [DstAw-1:0]   wr_line_o,
  output wire [511:0]       wr_data_o
);

  wire              beat_valid, beat_last, beat_error, beat_weight;
  wire [255:0]      beat_data;
  wire [DstAw-1:0]  beat_base;
  wire [8:0]        seg_len = {{(8 - SegBits){1'b0}}, seg_lines_i, 1'b0} - 9'd1;

  wire [63:0] seg_addr;
  vla_data_map u_map (.bases_i(data_bases_i), .line_i(seg_src_i), .addr_o(seg_addr));

  vla_burst_reader #(.TagBits(2 + DstAw), .Queue(2)) u_reader (
    .clk_i(clk_i), .rst_i(rst_i),
    .seg_valid_i(seg_valid_i), .seg_ready_o(seg_ready_o),
    .seg_addr_i(seg_addr), .seg_len_i(seg_len[7:0]),
    .seg_tag_i({seg_tag_i, seg_weight_i, seg_dst_i}),
    .ar_valid_o(ar_valid_o), .ar_ready_i(ar_ready_i), .ar_addr_o(ar_addr_o), .ar_len_o(ar_len_o),
    .r_valid_i(r_valid_i), .r_ready_o(r_ready_o), .r_data_i(r_data_i), .r_last_i(r_last_i),
    .r_error_i(r_error_i),
    .beat_valid_o(beat_valid), .beat_ready_i(1'b1), .beat_data_o(beat_data), .beat_last_o(beat_last),
    .beat_error_o(beat_error), .beat_tag_o({retire_tag_o, beat_weight, beat_base})
  );

  reg [DstAw-1:0] offset_q;  // lines of the segment written
  reg             odd_q;     // the first half of a line is in half_q
  reg [255:0]     half_q;

  always @(posedge clk_i) begin
    if (rst_i) begin
      offset_q <= {DstAw{1'b0}};
      odd_q    <= 1'b0;
    end else if (beat_valid) begin
      odd_q <= !odd_q;
      if (beat_last) offset_q <= {DstAw{1'b0}};
      else if (odd_q) offset_q <= offset_q + 1'b1;
    end
    if (beat_valid) half_q <= beat_data;
  end

  assign wr_param_o  = beat_valid && odd_q && !beat_weight;
  assign wr_weight_o = beat_valid && odd_q && beat_weight;
  assign wr_line_o   = beat_base + offset_q;
  assign wr_data_o   = {beat_data, half_q};
  assign retire_o    = beat_valid && beat_last;
  assign error_o     = beat_valid && beat_error;

  wire unused_len = seg_len[8];

endmodule
`default_nettype wire
