// Corner turn of Block x Block bytes: byte i of output word j is byte j of input word i.
// Does: take a block in groups of Words words, in order, and give its transposed words in such groups, a group per cycle
// in and out: a block enters where its predecessor leaves, by rows and by columns in turn, so one array
// of registers is enough.
// Does not: take parts of blocks, or know where words come from.
// Latency: a block's first group is there in the cycle after its last one was taken. Handshake: ready/valid on both
// sides; in_ready_o follows out_ready_i in the same cycle.
`default_nettype none
module vla_byte_transpose #(
  parameter Block = 16,
  parameter Words = 4    // of a group; divides Block
) (
  input  wire                     clk_i,
  input  wire                     rst_i,
  input  wire                     in_valid_i,
  output wire                     in_ready_o,
  input  wire [8*Words*Block-1:0] in_words_i,
  output wire                     out_valid_o,
  input  wire                     out_ready_i,
  output wire [8*Words*Block-1:0] out_words_o
);

  localparam Groups = Block / Words;  // of a block
  localparam Gw     = Groups > 1 ? $clog2(Groups) : 1;
  localparam [Gw-1:0] LastGroup = Groups[Gw-1:0] - 1'b1;

  reg          by_columns_q;  // how the entering block is kept; the leaving one is kept the other way
  reg          leaving_q;     // a block leaves
  reg [Gw-1:0] in_q, out_q;   // next group of each

  wire take     = in_valid_i && in_ready_o;
  wire give     = out_valid_o && out_ready_i;
  wire in_last  = take && in_q == LastGroup;
  wire out_last = give && out_q == LastGroup;

  assign out_valid_o = leaving_q;
  assign in_ready_o  = !leaving_q || in_q < out_q || (in_q == out_q && out_ready_i);

  always @(posedge clk_i) begin
    if (rst_i) begin
      by_columns_q <= 1'b0;
      leaving_q    <= 1'b0;
      in_q         <= {Gw{1'b0}};
      out_q        <= {Gw{1'b0}};
    end else begin
      if (take) in_q <= in_q == LastGroup ? {Gw{1'b0}} : in_q + 1'b1;
      if (give) out_q <= out_q == LastGroup ? {Gw{1'b0}} : out_q + 1'b1;
      if (in_last) begin
        leaving_q    <= 1'b1;
        by_columns_q <= !by_columns_q;
      end else if (out_last) leaving_q <= 1'b0;
    end
  end

  // ---- the array: byte (row, column) ----
  wire [8*Block*Block-1:0] bytes;
  genvar r, c, w;
  generate
    for (r = 0; r < Block; r = r + 1) begin : g_row
      localparam RowGroup = r / Words;
      for (c = 0; c < Block; c = c + 1) begin : g_column
        localparam ColumnGroup = c / Words;
        reg  [7:0] byte_q;
        wire       here = take && in_q == (by_columns_q ? ColumnGroup[Gw-1:0] : RowGroup[Gw-1:0]);
        always @(posedge clk_i) begin
          if (here) byte_q <= by_columns_q ? in_words_i[8*(Block*(c % Words) + r) +: 8]
                                           : in_words_i[8*(Block*(r % Words) + c) +: 8];
        end
        assign bytes[8*(Block*r + c) +: 8] = byte_q;
      end
    end

    for (w = 0; w < Words; w = w + 1) begin : g_word
      for (c = 0; c < Block; c = c + 1) begin : g_byte
        wire [8*Groups-1:0] of_row, of_column;
        for (r = 0; r < Groups; r = r + 1) begin : g_group
          assign of_row[8*r +: 8]    = bytes[8*(Block*(r*Words + w) + c) +: 8];
          assign of_column[8*r +: 8] = bytes[8*(Block*c + r*Words + w) +: 8];
        end
        assign out_words_o[8*(Block*w + c) +: 8] = by_columns_q ? of_column[8*out_q +: 8] : of_row[8*out_q +: 8];
      end
    end

    if ((Block != 8 && Block != 16) || Words > Block || (Words & (Words - 1)) != 0) begin : g_check
      vla_bad_parameter_byte_transpose_words_divide_block_8_or_16 u_bad ();
    end
  endgenerate

endmodule
`default_nettype wire
