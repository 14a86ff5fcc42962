// Row addresses of a region as its tiles are visited: rows in order, block after block, batch after batch.
// Does: give the addresses of the current and the next row, around the ring, by adding.
// Does not: know pixels.
// Latency: start_i, step_i -> addresses 1 cycle. start_i goes to the first tile; step_i moves on by rows_i
// (0, 1 or 2) rows, or with tile_i to the first row of the next tile (with batch_i of the next batch).
`default_nettype none
module vla_mac_region #(
  parameter ActAw = 17
) (
  input  wire             clk_i,
  // constant while a packet runs
  input  wire [ActAw-1:0] base_i,
  input  wire [ActAw-1:0] row_stride_i,
  input  wire [ActAw-1:0] pitch_i,
  input  wire [10:0]      ring_i,
  input  wire [10:0]      slot_i,
  input  wire [ActAw-1:0] slot_row_i,      // slot_i * row_stride_i
  input  wire [ActAw-1:0] batch_stride_i,
  input  wire             start_i,
  input  wire             step_i,
  input  wire [1:0]       rows_i,
  input  wire             tile_i,
  input  wire             batch_i,
  output wire [ActAw-1:0] row_o,
  output wire [ActAw-1:0] next_row_o
);

  reg [ActAw-1:0] batch_q;  // slot 0, block 0 of the batch
  reg [ActAw-1:0] block_q;  // slot 0 of the tile
  reg [ActAw-1:0] row_q;
  reg [10:0]      slot_q;

  wire             wrap1 = slot_q + 11'd1 == ring_i;
  wire [10:0]      slot1 = wrap1 ? 11'd0 : slot_q + 11'd1;
  wire [ActAw-1:0] row1  = wrap1 ? block_q : row_q + row_stride_i;
  wire             wrap2 = slot1 + 11'd1 == ring_i;
  wire [10:0]      slot2 = wrap2 ? 11'd0 : slot1 + 11'd1;
  wire [ActAw-1:0] row2  = wrap2 ? block_q : row1 + row_stride_i;

  wire [ActAw-1:0] batch_next = start_i ? base_i : batch_q + batch_stride_i;
  wire [ActAw-1:0] tile_next  = start_i || batch_i ? batch_next : block_q + pitch_i;

  assign row_o      = row_q;
  assign next_row_o = row1;

  always @(posedge clk_i) begin
    if (start_i || (step_i && tile_i)) begin
      if (start_i || batch_i) batch_q <= batch_next;
      block_q <= tile_next;
      row_q   <= tile_next + slot_row_i;
      slot_q  <= slot_i;
    end else if (step_i && rows_i != 2'd0) begin
      row_q  <= rows_i[1] ? row2 : row1;
      slot_q <= rows_i[1] ? slot2 : slot1;
    end
  end

endmodule
`default_nettype wire
