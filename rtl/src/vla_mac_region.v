// Row addresses of a group of pixels in a region, as vla_mac_place_walk visits it: pixels in order, block after block,
// batch after batch.
// Does: give the address of each pixel's row, around the ring, by adding.
// Does not: know columns.
// Latency: one cycle from load_i or step_i.
// Handshake: start_i, then pixel_i once for each pixel of a group, load_i with each tile, step_i with each group.
`default_nettype none
module vla_mac_region #(
  parameter ActAw = 17,
  parameter Group = 2
) (
  input  wire                   clk_i,
  // constant while a packet runs
  input  wire [ActAw-1:0]       base_i,
  input  wire [ActAw-1:0]       row_stride_i,
  input  wire [ActAw-1:0]       pitch_i,
  input  wire [10:0]            ring_i,
  input  wire [10:0]            slot_i,
  input  wire [ActAw-1:0]       slot_row_i,     // slot_i * row_stride_i
  input  wire [ActAw-1:0]       ring_span_i,    // ring_i * row_stride_i
  input  wire [ActAw-1:0]       batch_stride_i,
  // the walk
  input  wire                   start_i,
  input  wire                   pixel_i,
  input  wire                   pixel_wrap_i,
  input  wire                   load_i,
  input  wire                   load_batch_i,
  input  wire                   step_i,
  input  wire [Group-1:0]       wrap_i,
  output wire [ActAw*Group-1:0] row_o
);

  // Pixel after pixel: its slot and row from the first slot, and the rows that it is behind the first pixel, modulo
  // the ring; after the last one, these are the length of a step.
  reg [10:0]      slot_q, rows_q;
  reg [ActAw-1:0] row_q, step_q;
  wire            slot_end = slot_q + 11'd1 == ring_i;
  wire            rows_end = rows_q + 11'd1 == ring_i;

  reg [ActAw-1:0] tile_q;   // block 0 row of the next tile
  reg [ActAw-1:0] batch_q;  // of the first tile of the next batch

  always @(posedge clk_i) begin
    if (start_i) begin
      slot_q <= slot_i;
      row_q  <= slot_row_i;
      rows_q <= 11'd0;
      step_q <= {ActAw{1'b0}};
    end else if (pixel_i && pixel_wrap_i) begin
      slot_q <= slot_end ? 11'd0 : slot_q + 11'd1;
      row_q  <= slot_end ? {ActAw{1'b0}} : row_q + row_stride_i;
      rows_q <= rows_end ? 11'd0 : rows_q + 11'd1;
      step_q <= rows_end ? {ActAw{1'b0}} : step_q + row_stride_i;
    end
    if (start_i) begin
      tile_q  <= base_i;
      batch_q <= base_i + batch_stride_i;
    end else if (load_i) begin
      tile_q <= load_batch_i ? batch_q : tile_q + pitch_i;
      if (load_batch_i) batch_q <= batch_q + batch_stride_i;
    end
  end

  // A step: rows and words without and with a row more, then the same around the ring; from which slot on it goes around.
  reg [11:0]      go_q [0:3];
  reg [ActAw-1:0] move_q [0:3];
  reg [11:0]      turn_q [0:1];
  wire [11:0]     ring = {1'b0, ring_i};
  wire [11:0]     rows = {1'b0, rows_q};
  always @(posedge clk_i) begin
    go_q[0]   <= rows;
    go_q[1]   <= rows + 12'd1;
    go_q[2]   <= rows - ring;
    go_q[3]   <= rows + 12'd1 - ring;
    move_q[0] <= step_q;
    move_q[1] <= step_q + row_stride_i;
    move_q[2] <= step_q - ring_span_i;
    move_q[3] <= step_q + row_stride_i - ring_span_i;
    turn_q[0] <= ring_i == 11'd0 ? 12'hFFF : ring - rows;
    turn_q[1] <= ring_i == 11'd0 ? 12'hFFF : ring - rows - 12'd1;
  end

  genvar l;
  generate
    for (l = 0; l < Group; l = l + 1) begin : g_lane
      localparam Behind = Group - l;  // pixels counted after this one
      reg  [10:0]      first_slot_q;
      reg  [11:0]      at_q;
      reg  [ActAw-1:0] first_row_q, addr_q;
      reg  [3:0]       left_q;  // pixels that are still to come when this one is reached
      wire             around = at_q >= turn_q[wrap_i[l]];

      always @(posedge clk_i) begin
        if (start_i) left_q <= Group[3:0];
        else if (pixel_i) left_q <= left_q - 4'd1;
        if (pixel_i && left_q == Behind[3:0]) begin
          first_slot_q <= slot_q;
          first_row_q  <= row_q;
        end
        if (load_i) begin
          at_q   <= {1'b0, first_slot_q};
          addr_q <= tile_q + first_row_q;
        end else if (step_i) begin
          at_q   <= at_q + go_q[{around, wrap_i[l]}];
          addr_q <= addr_q + move_q[{around, wrap_i[l]}];
        end
      end
      assign row_o[ActAw*l +: ActAw] = addr_q;
    end
  endgenerate

endmodule
`default_nettype wire
